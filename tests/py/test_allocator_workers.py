"""Worker processes of real servers: counted, asked for through their supervisor, and read back."""

import asyncio
import contextlib
import fcntl
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

import httpx
import pytest

from resilience import _worker_folder
from resilience._worker_folder import remove_left_behind, shared_by_workers
from resilience.allocator import PredictiveResourceAllocator, WorkerProcesses, worker_processes
from support.programs import environment
from support.workers import COMMANDS, served

if sys.platform == "win32":
    pytest.skip("needs signals and file locks", allow_module_level=True)

# Each worker resizes when told to, and tells who it is and how many it counts.
APP = """
import contextlib, json, os
from resilience._worker_folder import remove_left_behind, shared_by_workers
from resilience.allocator import PredictiveResourceAllocator, worker_processes

allocator = PredictiveResourceAllocator(lead_time=60.0, initial={"workers": 2})
workers = None

def answer(path):
    if path.startswith("/load/"):
        allocator.observe({"rpm": float(path.removeprefix("/load/"))})  # a resize goes on by itself
    report = allocator.get_predictions()
    return {
        "worker": os.getpid(),
        "count": workers.count(),
        "workers": report["current_allocations"]["workers"],
        "delay": report["start_delay"]["workers"],
        "problems": report["problems"],
    }

async def app(scope, receive, send):
    global workers
    if scope["type"] == "lifespan":
        await receive()
        workers = worker_processes()
        allocator.bind("workers", workers.resize)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        workers.close()
        await allocator.stop_monitoring()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = json.dumps(answer(scope["path"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def ask_until(address, path, reached):
    """Ask again until an answer shows what is waited for; every request is a new connection to any worker."""
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(address + path, timeout=130).json()
            assert answer["problems"] == []
            if reached(answer):
                return answer
    raise AssertionError(f"{path} never showed it: {answer}")


@pytest.mark.parametrize("server", COMMANDS)
def test_a_server_gets_the_workers_that_are_decided_and_loses_them_again(server, tmp_path):
    with served(server, APP, tmp_path, workers=2) as (address, _):
        ask_until(address, "/", lambda seen: seen["count"] == 2)
        # 28 requests a minute are 4 workers at 10 each and 70 % use; whichever worker is asked first leads
        ask_until(address, "/load/28", lambda seen: seen["count"] == 4)
        led = ask_until(address, "/", lambda seen: seen["delay"] < 60.0)
        assert led["delay"] >= 1.0, "the start delay was measured"
        ask_until(address, "/load/7", lambda seen: seen["count"] == 1)
    assert supervisors_folders(tmp_path) == []


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "workers"


def test_a_worker_counts_itself_until_it_leaves(folder):
    workers = WorkerProcesses(os.getpid(), folder)
    assert workers.count() == 1
    workers.close()
    workers.close()
    assert list(folder.glob("*.worker")) == []


def test_a_worker_that_was_killed_is_not_counted_and_its_file_is_removed(folder):
    workers = WorkerProcesses(os.getpid(), folder)
    (folder / "999999999.worker").touch()
    assert workers.count() == 1
    assert len(list(folder.glob("*.worker"))) == 1
    workers.close()


SIBLING = """
import sys, time
from pathlib import Path
from resilience.allocator import WorkerProcesses
import asyncio
workers = WorkerProcesses(int(sys.argv[1]), Path(sys.argv[2]))
print(asyncio.run(workers.resize(2)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def supervisors_folders(temporary):
    return sorted(path.name for path in temporary.glob("resilience-workers-*"))


def test_the_last_worker_to_leave_removes_the_folder_and_the_next_one_makes_it_again(temporary):
    first = WorkerProcesses(os.getpid())
    assert len(supervisors_folders(temporary)) == 1
    assert asyncio.run(first.resize(1)) == 1, "it leads"
    first.close()
    assert supervisors_folders(temporary) == []
    again = WorkerProcesses(os.getpid())
    assert again.count() == 1
    again.close()
    assert supervisors_folders(temporary) == []


def test_a_worker_leaves_the_folder_to_the_siblings_that_stay(folder):
    leaving = WorkerProcesses(os.getpid(), folder)
    command = [sys.executable, "-c", SIBLING.replace("resize(2)", "resize(1)"), str(os.getpid()), str(folder)]
    assert asyncio.run(leaving.resize(1)) == 1
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sibling:
        assert sibling.stdout.readline() == "2\n"
        leaving.close()
        assert [path.name for path in folder.glob("*.worker")] == [f"{sibling.pid}.worker"]
        sibling.stdin.close()
    assert not folder.exists()


def test_a_folder_whose_workers_and_supervisor_were_killed_is_removed_by_the_next_server(temporary):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        left = shared_by_workers("workers", gone.pid)
    left.mkdir(mode=0o700)
    (left / "999999999.worker").touch()
    workers = WorkerProcesses(os.getpid())
    assert supervisors_folders(temporary) == [shared_by_workers("workers", os.getpid()).name]
    workers.close()


def test_what_is_not_the_folder_of_a_supervisor_that_is_gone_is_let_be(temporary):
    own = shared_by_workers("workers", os.getpid())
    kept = [own, temporary / "resilience-workers-x", temporary / own.name.replace("workers", "others")]
    for path in kept:
        path.mkdir(mode=0o700)
    reused = own.with_name(own.name.rpartition("-")[0] + "-1")  # another process had this id before
    reused.mkdir(mode=0o700)
    open_to_others = own.with_name(own.name.rpartition("-")[0] + "-2")
    open_to_others.mkdir(mode=0o755)
    remove_left_behind("workers")
    assert [path for path in kept if not path.is_dir()] == []
    assert not reused.exists()
    assert open_to_others.exists()


def test_workers_that_start_at_once_may_all_remove_what_was_left_behind(temporary, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        left = shared_by_workers("workers", gone.pid)
    left.mkdir(mode=0o700)
    lives = _worker_folder.lives

    def removed_by_a_sibling_meanwhile(process, started):
        left.rmdir()
        return lives(process, started)

    monkeypatch.setattr(_worker_folder, "lives", removed_by_a_sibling_meanwhile)
    remove_left_behind("workers")
    assert not left.exists()


def test_a_worker_that_starts_while_the_last_other_removes_the_folder_makes_it_again(folder, monkeypatch):
    is_private, removed = _worker_folder._is_private, []

    def removed_by_a_sibling_first(path):
        if not removed:
            removed.append(path)
            path.rmdir()
        return is_private(path)

    monkeypatch.setattr(_worker_folder, "_is_private", removed_by_a_sibling_first)
    workers = WorkerProcesses(os.getpid(), folder)
    assert (removed, workers.count()) == ([folder], 1)
    workers.close()


def test_only_one_worker_speaks_to_the_supervisor(folder):
    command = [sys.executable, "-c", SIBLING, str(os.getpid()), str(folder)]
    leading = WorkerProcesses(os.getpid(), folder)
    assert asyncio.run(leading.resize(1)) == 1
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sibling:
        assert sibling.stdout.readline() == "2\n", "it asks for nothing: this process would have been stopped"
        assert leading.count() == 2
        sibling.stdin.close()
    assert leading.count() == 1
    leading.close()


def test_the_folder_is_locked_while_a_worker_is_in_it_which_keeps_cleaners_of_temporary_files_away(folder):
    first, second = WorkerProcesses(os.getpid(), folder), WorkerProcesses(os.getpid(), folder.with_name("b"))
    cleaner = os.open(folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(cleaner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    first.close()
    fcntl.flock(cleaner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(cleaner)
    second.close()
    assert list(folder.parent.iterdir()) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forks beside threads
def test_a_forked_child_that_ends_leaves_its_parent_counted(folder):
    program = """
import os, sys
from pathlib import Path
from resilience.allocator import WorkerProcesses
workers = WorkerProcesses(os.getpid(), Path(sys.argv[1]))
if os.fork() == 0:
    sys.exit()  # by way of what is registered for the interpreter's end
os.wait()
print(workers.count())
"""
    command = [sys.executable, "-c", program, str(folder)]
    assert subprocess.check_output(command, env=environment(), text=True) == "1\n"
    assert not folder.exists()


def test_a_folder_open_to_others_is_refused(folder):
    folder.mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="the workers' folder must be this user's own"):
        WorkerProcesses(os.getpid(), folder)


async def test_a_supervisor_that_is_gone_is_reported_and_the_record_stays(folder, caplog):
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    workers, machine = WorkerProcesses(gone.pid, folder), PredictiveResourceAllocator()
    machine.bind("workers", workers.resize)
    machine.observe({"rpm": 140.0})
    await machine.stop_monitoring()
    report = machine.get_predictions()
    assert report["current_allocations"]["workers"] == 5
    assert [problem["kind"] for problem in report["problems"]] == ["apply_failed"]
    workers.close()


async def test_a_worker_that_leaves_waits_for_no_others_and_asks_for_none(folder):
    program = """
import signal, sys
signal.signal(signal.SIGTTIN, lambda *_: print("asked", flush=True))
print("ready", flush=True)
sys.stdin.read()
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert await supervisor.stdout.readline() == b"ready\n"
    workers = WorkerProcesses(supervisor.pid, folder)
    resizing = asyncio.create_task(workers.resize(4))
    assert await supervisor.stdout.readline() == b"asked\n"
    workers.close()
    async with asyncio.timeout(30):
        assert await resizing == 0
    said, _ = await supervisor.communicate(b"")
    assert said == b"", "it was asked once"


def test_a_process_without_a_supervisor_has_no_workers():
    assert multiprocessing.parent_process() is None
    assert worker_processes() is None
