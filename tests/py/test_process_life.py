"""The life of a process: importing starts nothing, signals stay as they were, and the interpreter ends quietly."""

import signal
import subprocess
import sys
import textwrap

import pytest

from support.programs import environment, run


@pytest.mark.skipif(sys.platform != "linux", reason="looks at threads and files in /proc")
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
        env=environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == (77 if number == signal.SIGINT else -number)
