"""The example server and its processes under signals: at any moment, to one or to all, with streams open."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from draining_server import DrainingServer
from grace import grace_before_exit
from settings import Settings
from supervisor import Supervisor
from support.example import EXAMPLE, call, example_process, example_server
from support.until import until


def started(process, words):
    """Read what a process says until it says these words."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


async def test_streams_and_watchers_that_would_stay_for_ever_are_ended_within_the_drain_limit():
    busy = 10  # a machine that is may take ten times as long; without a limit it would be five minutes
    limit = Settings(drain_grace=0.1, drain_timeout=1).drain_limit
    with example_server(drain_grace="0.1", drain_timeout="1", upstream_timeout="600") as program:
        async with aiohttp.ClientSession(program.url) as session, session.ws_connect("/ws") as socket:
            await session.post("/api/test/upstream/behave", json={"mode": "slow", "factor": 10_000})
            body = {"input": "x", "stream": True}
            reading = asyncio.create_task(ended(session, "/api/agents/research/run", body))
            await until_active(session, reading)
            program.process.send_signal(signal.SIGTERM)
            closed = await socket.receive(timeout=busy * limit)
            await reading
        assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING)
        assert await asyncio.to_thread(program.process.wait, busy * limit) == 0


async def until_active(session, other):
    """Wait until the server is at another request beside the one that asks."""
    active = 0
    while active < 2:
        assert not other.done()
        answer = await session.get("/api/metrics")
        active = (await answer.json())["metrics"]["requests"]["active"]


async def ended(session, path, body):
    """Read a stream until the server cuts it off."""
    with pytest.raises(aiohttp.ClientError):
        async with session.post(path, json=body, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            await answer.read()


def test_a_signal_during_the_start_up_ends_the_server_as_soon_as_it_has_started():
    with example_process() as process:
        started(process, "Waiting for application startup")
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 0
    assert "Traceback" not in said
    assert "Application shutdown complete" in said


def test_a_second_signal_during_the_start_up_ends_the_server_at_once():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # the first question to it holds up the start
        example_process(upstream_url=f"http://127.0.0.1:{silent.getsockname()[1]}") as process,
    ):
        started(process, "Waiting for application startup")
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)
        said = process.stderr.read()
        # which of two pending signals is told first is the interpreter's choice
        assert process.wait(60) in {128 + signal.SIGTERM, 128 + signal.SIGINT}
    assert "Traceback" not in said


async def test_a_signal_at_the_moment_when_the_server_says_that_it_runs_lets_it_drain(caplog):
    caplog.set_level(logging.INFO, "uvicorn.error")
    drained = asyncio.Event()
    config = uvicorn.Config(FastAPI(), port=0, log_config=None)
    server = DrainingServer(config, drain=drained.set, grace=0.0, closing=10.0)

    def read(record):
        if "running on" in record.getMessage():
            server.handle_exit(signal.SIGTERM, None)
        return True

    caplog.handler.addFilter(read)
    await server.serve()
    caplog.handler.removeFilter(read)
    assert drained.is_set()


async def test_a_server_whose_parts_fail_to_drain_ends_nevertheless():
    def fail():
        raise RuntimeError("on purpose")

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    server = DrainingServer(
        uvicorn.Config(FastAPI(), port=0, log_config=None), drain=fail, grace=0.0, closing=10.0
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    server.handle_exit(signal.SIGTERM, None)
    await asyncio.wait_for(serving, 30)
    assert [str(error) for error in told] == ["on purpose"]


@pytest.fixture
def signalled():
    """Signals that nobody else took, instead of their end of the test run."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, before)


def workers_server(drain, grace):
    """The server that uvicorn makes in a worker, with an application that asks for grace."""

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        with grace_before_exit(drain=drain, grace=grace):
            yield

    return uvicorn.Server(uvicorn.Config(FastAPI(lifespan=lifespan), port=0, log_config=None))


async def test_a_worker_drains_for_its_grace_and_leaves_as_uvicorn_does(signalled):
    was_told = []
    server = workers_server(lambda: was_told.append(server.should_exit), grace=0.0)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    signal.raise_signal(signal.SIGTERM)
    await serving
    assert was_told == [False]
    assert signalled == [signal.SIGTERM], "uvicorn ends by the signal that it was told of"


async def test_a_second_signal_ends_the_grace_of_a_worker(signalled):
    drained = asyncio.Event()
    server = workers_server(drained.set, grace=3600.0)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    signal.raise_signal(signal.SIGTERM)
    await drained.wait()
    (listener,) = server.servers
    assert listener.is_serving()
    signal.raise_signal(signal.SIGTERM)
    await serving
    assert signalled == [signal.SIGTERM]


async def test_an_application_under_another_server_leaves_signals_alone(signalled):
    with grace_before_exit(drain=signalled.clear, grace=0.0):
        signal.raise_signal(signal.SIGTERM)
    assert signalled == [signal.SIGTERM]
    server = DrainingServer(
        uvicorn.Config(FastAPI(), port=0, log_config=None), drain=signalled.clear, grace=0.0, closing=1.0
    )
    with server.capture_signals(), grace_before_exit(drain=signalled.clear, grace=0.0):
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit


def test_workers_go_on_serving_without_being_ready_until_their_grace_is_over(tmp_path):
    said = tmp_path / "log"
    with (
        said.open("w", buffering=1) as log,
        example_server(workers="2", drain_grace="60", log=log) as program,
    ):
        limit = time.monotonic() + 120
        while said.read_text().count("Application startup complete") < 2:
            assert time.monotonic() < limit
        program.process.send_signal(signal.SIGTERM)
        while (answer := program.get("/ready")).status != 503:
            pass
        assert answer.json()["phase"] == "draining"
        workers = re.findall(r"Started server process \[(\d+)\]", said.read_text())
        assert len(workers) == 2
        limit = time.monotonic() + 50
        # the second signal ends the minute; one that comes before a worker heard the first is the same as the first
        while program.process.poll() is None:
            assert time.monotonic() < limit
            for worker in map(int, workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(1)
        assert program.process.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_in_a_terminal_ends_every_process_of_the_server_without_a_traceback(workers):
    with example_process(workers=workers) as process:
        for _ in range(int(workers)):
            started(process, "Application startup complete")
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()  # to the end: every process that holds it is gone
        assert process.wait(60) == 0
    assert "Traceback" not in said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_cannot_start_says_why_and_does_not_exit_with_0(workers, tmp_path):
    (tmp_path / "data").touch()  # a file where a folder is needed
    with example_process(workers=workers, metrics_dir=str(tmp_path / "data")) as process:
        said = process.stderr.read()
        assert process.wait(60) == STARTUP_FAILURE
    assert str(tmp_path / "data") in said


def test_a_worker_that_ends_while_it_is_asked_whether_it_lives_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of this process
    supervisor = Supervisor(uvicorn.Config(FastAPI(), timeout_worker_healthcheck=600), [])
    worker = Process(supervisor.config, [])
    ended = multiprocessing.Process()  # it never answers
    monkeypatch.setattr(ended, "is_alive", lambda: True)
    for name in ("kill", "join"):
        monkeypatch.setattr(ended, name, lambda: None)
    monkeypatch.setattr(type(ended), "exitcode", STARTUP_FAILURE)
    worker.process = ended
    supervisor.processes.append(worker)
    supervisor.keep_subprocess_alive()
    assert supervisor.should_exit.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_while_the_server_is_imported_ends_it_without_a_traceback():
    with example_process() as process:
        mapped = Path(f"/proc/{process.pid}/maps")
        while "pydantic_core" not in mapped.read_text(encoding="utf-8"):  # one of the first that are imported
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) in {-signal.SIGINT, 0}
    assert "Traceback" not in said


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_the_local_upstream_ends_without_a_traceback(ended_by):
    command = [sys.executable, str(EXAMPLE / "local_upstream.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline().split(":")[1].strip(" }\n"))
        while True:
            try:
                assert call("GET", f"http://127.0.0.1:{port}/v1/models").status == 200
            except OSError:
                continue
            break
        process.send_signal(ended_by)
        assert process.wait(60) in {0, -ended_by}
        assert process.stderr.read() == ""


async def test_the_local_upstream_outlives_ctrl_c_until_the_last_request_is_answered():
    with example_server(drain_grace="0.1") as program:
        async with aiohttp.ClientSession(program.url) as session:
            await session.post("/api/test/upstream/behave", json={"mode": "slow", "factor": 160})
            running = asyncio.create_task(session.post("/api/agents/research/run", json={"input": "x"}))
            await until_active(session, running)
            os.killpg(program.process.pid, signal.SIGINT)
            answer = await running
            assert answer.status == 200
            assert not (await answer.json())["is_fallback"]
        assert await asyncio.to_thread(program.process.wait, 60) == 0
