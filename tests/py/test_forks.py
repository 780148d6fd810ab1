"""Forked processes: nothing that the library owns is locked in the child, and children serve at once."""

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import httpx
import pytest

from resilience import CircuitBreaker, KeyedCircuitBreaker, cache, get_circuit_breaker, remove_circuit_breaker

ROOT = Path(__file__).resolve().parents[2]
FORKS = int(os.environ.get("RESILIENCE_FORKS", "100"))

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings(
        "ignore:This process:DeprecationWarning"
    ),  # 3.12 warns of forks beside threads
]


def run(program, *arguments, timeout=120):
    """Run a program of its own; its output, when it ended well and silently."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-W", "ignore:This process:DeprecationWarning",
         "-c", textwrap.dedent(program), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORK_UNDER_LOAD = """
    import asyncio, os, signal, sys, threading
    from resilience import CircuitBreaker, KeyedCircuitBreaker, get_all_circuit_breakers, get_circuit_breaker
    from resilience import protected_functions, remove_circuit_breaker

    forks = int(sys.argv[1])
    shared = CircuitBreaker("shared", failure_threshold=0, failure_rate_threshold=1.0)
    shared.add_listener(lambda event: None)
    keyed = KeyedCircuitBreaker(max_keys=50)
    over = threading.Event()

    @shared
    async def answer():
        await asyncio.sleep(0)

    async def use(number):
        await answer()
        shared.call_sync(int, "7")
        for key in range(number, number + 5):
            keyed.for_key(key % 80).record_success(0.01)
        name = f"made by name {number % 7}"
        get_circuit_breaker(name).record_success(0.01)
        get_all_circuit_breakers()
        shared(lambda: None)()
        shared.get_stats()

    async def load(seed):
        number = seed
        while not over.is_set():
            await use(number)
            number += 1

    def serve_in_child():
        signal.alarm(30)  # a lock that isn't free ends the child, and the test
        try:
            asyncio.run(use(os.getpid()))
            assert shared.state == "closed"
            assert len(keyed) <= 50
            assert protected_functions()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)

    threads = [threading.Thread(target=asyncio.run, args=(load(seed),)) for seed in (1, 1000, 2000)]
    for thread in threads:
        thread.start()
    bad = []
    for _ in range(forks):
        child = os.fork()
        if child == 0:
            serve_in_child()
        _, status = os.waitpid(child, 0)
        if status:
            bad.append(status)
    over.set()
    for thread in threads:
        thread.join()
    print(forks, "forks,", len(bad), "bad")
"""


def test_children_of_a_process_busy_in_every_lock_serve_at_once():
    """`RESILIENCE_FORKS` says how many; `./dev forks` asks for 1,000."""
    assert run(FORK_UNDER_LOAD, FORKS, timeout=580) == f"{FORKS} forks, 0 bad\n"


@pytest.mark.parametrize("module", ["_registry", "_named"])
def test_a_fork_waits_for_a_thread_that_is_changing_the_registry(module):
    lock = importlib.import_module(f"resilience.{module}")._lock
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def change():
        with lock:
            inside.set()
            leave.wait()

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0 if lock.acquire(blocking=False) else 1)
        seen.append(os.waitpid(child, 0)[1])

    changing, forking = threading.Thread(target=change), threading.Thread(target=fork)
    changing.start()
    inside.wait()
    forking.start()
    assert seen == []
    leave.set()
    changing.join()
    forking.join()
    assert seen == [0]


def test_state_goes_into_the_child_and_no_further():
    breaker = CircuitBreaker("forked", failure_threshold=1)
    keyed = KeyedCircuitBreaker()
    keyed.for_key("a").force_open()
    child = os.fork()
    if child == 0:
        inherited = keyed.for_key("a").state == "forced_open"
        breaker.record_failure(OSError(), 0.1)
        os._exit(0 if inherited and breaker.state == "open" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert breaker.state == "closed"


def test_a_child_loads_what_a_thread_of_its_parent_was_loading_at_the_fork(clock):
    parent, loading, leave = os.getpid(), threading.Event(), threading.Event()

    @cache(10.0, stale_while_revalidate=100.0, clock=clock)
    def load(key):
        if os.getpid() == parent and key == "slow":
            loading.set()
            leave.wait()
        return os.getpid()

    thread = threading.Thread(target=load, args=("slow",))
    thread.start()
    loading.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # who waits for the parent's thread waits for ever
        os._exit(0 if load("slow") == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    thread.join()
    assert load("slow") == parent


def test_a_batcher_that_the_parent_uses_serves_the_child_by_loops_of_its_own():
    program = """
        import asyncio, os, signal
        from resilience import RequestBatcher

        async def process(items):
            return [(os.getpid(), item) for item in items]

        batcher = RequestBatcher(2, 1, process)

        async def in_child():
            assert await batcher.add_request(1, "a") == (os.getpid(), "a")
            handed_over = await asyncio.to_thread(batcher.submit_threadsafe, 2, "b")
            assert await asyncio.wrap_future(handed_over) == (os.getpid(), "b")
            await batcher.close()
            return 0

        async def in_parent():
            await batcher.add_request(1, "a")
            child = os.fork()
            if child == 0:
                signal.alarm(30)  # who waits for the parent's loop waits for ever
                asyncio.events._set_running_loop(None)
                os._exit(asyncio.run(in_child()))
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            handed_over = await asyncio.to_thread(batcher.submit_threadsafe, 2, "b")
            assert await asyncio.wrap_future(handed_over) == (os.getpid(), "b")
            print("child ended with", status)

        asyncio.run(in_parent())
    """
    assert run(program) == "child ended with 0\n"


def test_a_call_that_was_running_at_the_fork_may_end_in_the_child():
    breaker = CircuitBreaker("forked")
    with breaker.guard() as block:
        child = os.fork()
        if child == 0:
            block.__exit__(None, None, None)
            os._exit(breaker.success_count - 1)
        assert os.waitpid(child, 0)[1] == 0
    assert breaker.success_count == 1


def test_jitter_differs_between_processes_that_open_at_once():
    program = """
        import logging, os
        from resilience import CircuitBreaker
        logging.disable()
        breaker = CircuitBreaker("forked", failure_threshold=1, recovery_jitter=0.9, recovery_timeout=1000)
        for _ in range(8):
            if os.fork() == 0:
                breaker.record_failure(OSError(), 0.1)
                os.write(1, b"%d\\n" % round(breaker.get_stats()["retry_after"]))
                os._exit(0)
        for _ in range(8):
            os.wait()
    """
    assert len(set(run(program).split())) > 4


# ------------------------------------------------------------------------------------------ start and end


def test_import_starts_no_thread_opens_no_file_and_installs_no_signal_handler():
    program = """
        import os, signal, threading
        import asyncio, importlib
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        files, wakeup = set(os.listdir("/proc/self/fd")), signal.set_wakeup_fd(-1)
        import resilience
        for module, names in resilience._MODULES.items():
            for name in names:
                getattr(resilience, name)
        breaker = resilience.CircuitBreaker()
        @breaker
        async def answer(): return 42
        assert len(os.listdir("/proc/self/task")) == 1 == threading.active_count()
        assert set(os.listdir("/proc/self/fd")) == files
        assert asyncio.run(answer()) == 42
        assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
        assert signal.set_wakeup_fd(-1) == -1
        print("neutral")
    """
    assert run(program) == "neutral\n"


IN_FLIGHT = """
    import asyncio, sys, threading, types
    from resilience import CircuitBreaker, KeyedCircuitBreaker, get_circuit_breaker
    breaker = get_circuit_breaker("in flight")
    @types.coroutine
    def for_ever():
        while True:
            yield
    keyed = KeyedCircuitBreaker()
    @breaker
    async def hang():
        await for_ever()
    @breaker
    async def stream():
        yield 1
        await for_ever()
    @keyed.for_key("a")
    def plain():
        yield 1
"""
ENDINGS = {
    "loop stopped under its tasks": """
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(hang())
    items = stream()
    loop.run_until_complete(anext(items))
    rest = plain(); next(rest)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    """,
    "daemon threads in calls": """
    entered = threading.Event()
    def work():
        entered.set()
        breaker.call_sync(threading.Event().wait)
    threading.Thread(target=work, daemon=True).start()
    entered.wait()
    """,
    "held by a module until the very end": """
    call = hang()
    call.send(None)
    rest = plain(); next(rest)
    sys.modules["held"] = [call, rest, breaker, keyed]
    sys.held = sys.modules["held"]
    """,
    "listeners called while modules go": """
    import atexit
    breaker.add_listener(lambda event: None)
    block = breaker.guard()
    block.__enter__()
    atexit.register(lambda: block.__exit__(None, None, None))
    call = hang(); call.send(None)
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_quietly_with_calls_in_flight(ending):
    program = textwrap.dedent(IN_FLIGHT) + textwrap.dedent(ENDINGS[ending]) + "\nprint('end')\n"
    assert run(program) == "end\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_do_what_they_did_without_the_library(number):
    program = """
        import asyncio, os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what runs with &
        from resilience import CircuitBreaker
        breaker = CircuitBreaker()
        @breaker
        async def hang():
            os.kill(os.getpid(), int(sys.argv[1]))
            await asyncio.Event().wait()
        try:
            asyncio.run(hang())
        except KeyboardInterrupt:
            assert breaker.get_stats()["totals"]["cancelled"] == 1
            os._exit(77)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(int(number))],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == (77 if number == signal.SIGINT else -number)


# ------------------------------------------------------------------------------------------ servers

APP = """
import asyncio, json, os
from resilience import KeyedCircuitBreaker, get_circuit_breaker
breaker = get_circuit_breaker("upstream")
keyed = KeyedCircuitBreaker(max_keys=10)
breaker.call_sync(int)  # used before any worker is forked

@breaker
async def ask(number):
    await asyncio.sleep(0)
    return number

async def app(scope, receive, send):
    if scope["type"] == "http":
        number = int(scope["path"][1:])
        keyed.for_key(number).record_success(0.001)
        body = {"answer": await ask(number), "worker": os.getpid(), "keys": len(keyed)}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})
"""


async def ask_all(address, count):
    """Answers to `count` requests at once, asked again until they come from every one of four workers."""
    limits = httpx.Limits(
        max_connections=32, max_keepalive_connections=0
    )  # new connections reach every worker
    workers = set()
    async with (
        asyncio.timeout(180),
        httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client,
    ):
        await ready(client)
        while len(workers) < 4:  # the last ones may still be starting
            answers = await asyncio.gather(*(client.get(f"/{number}") for number in range(count)))
            assert all(answer.status_code == 200 for answer in answers)
            workers |= {answer.json()["worker"] for answer in answers}
    return [answer.json() for answer in answers]


async def ready(client):
    while True:
        try:
            await client.get("/0")
        except httpx.TransportError:
            await asyncio.sleep(0)
        else:
            return


COMMANDS = {
    "uvicorn": ["uvicorn", "--workers", "4", "--timeout-worker-healthcheck", "120", "--lifespan", "off",
                "--log-level", "error", "--fd", "{fd}", "served_app:app"],
    "gunicorn": ["gunicorn", "--preload", "--workers", "4", "--timeout", "120", "--log-level", "error",
                 "--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "fd://{fd}", "served_app:app"],
}  # fmt: skip


@pytest.mark.parametrize("server", COMMANDS)
def test_workers_of_a_server_answer_under_load(server, tmp_path):
    (tmp_path / "served_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        fd = listening.fileno()
        command = [sys.executable, "-m", *(word.format(fd=fd) for word in COMMANDS[server])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(tmp_path)])}
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, pass_fds=[fd])
        try:
            answers = asyncio.run(ask_all(f"http://127.0.0.1:{listening.getsockname()[1]}", 400))
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(120)
    assert [answer["answer"] for answer in answers] == list(range(400))
    assert max(answer["keys"] for answer in answers) <= 10
    assert status in {0, -signal.SIGTERM}


def test_names_given_in_a_child_are_its_own():
    child = os.fork()
    if child == 0:
        get_circuit_breaker("made in a child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(KeyError):
        remove_circuit_breaker("made in a child")
