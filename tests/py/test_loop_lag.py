"""The loop-lag gauge, and through it the whole way from the engine's thread to an event loop."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from resilience import _core
from resilience._loop_lag import LoopLag


class WatchlessLoop(asyncio.SelectorEventLoop):
    """A loop like Windows' proactor: it can't watch descriptors for anybody."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError


def loop_factories():
    yield asyncio.new_event_loop
    yield WatchlessLoop
    try:
        import uvloop
    except ImportError:
        return
    yield uvloop.new_event_loop


factories = pytest.mark.parametrize("factory", list(loop_factories()), ids=lambda factory: factory.__module__)


def run(factory, coroutine):
    with asyncio.Runner(loop_factory=factory, debug=True) as runner:
        return runner.run(coroutine)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def pump_threads():
    return [thread for thread in threading.enumerate() if thread.name == "resilience-pump"]


@factories
def test_lag_is_the_time_from_ping_to_answer(factory):
    clock = _core.ManualClock()

    async def main():
        with LoopLag(0.1, clock=clock) as lag:
            clock.advance(0.1)  # the ping
            clock.advance(0.05)  # the loop is busy
            await until(lambda: lag.stats()["samples"] == 1)
            assert lag.current == pytest.approx(0.05)
            return lag.stats()

    stats = run(factory, main())
    assert stats["current_ms"] == pytest.approx(50)
    assert stats["max_ms"] == pytest.approx(50)
    assert stats["p99_ms"] == pytest.approx(50, rel=0.04)


@factories
def test_the_engine_pings_by_the_system_clock(factory):
    async def main():
        with LoopLag(0.001) as lag:
            await until(lambda: lag.stats()["samples"] >= 3)
            assert _core.engine_stats()["running"]
            return lag.stats()

    stats = run(factory, main())
    assert 0 <= stats["p50_ms"] <= stats["p99_ms"] * 1.04


async def test_a_loop_that_hangs_shows_before_it_answers():
    clock = _core.ManualClock()
    with LoopLag(0.1, clock=clock) as lag:
        clock.advance(7.1)
        assert lag.stats()["current_ms"] == pytest.approx(7000)
        assert lag.current == pytest.approx(7)
        assert lag.stats()["samples"] == 0


async def test_a_stopped_gauge_pings_no_more_and_keeps_its_figures():
    clock = _core.ManualClock()
    with LoopLag(0.1, clock=clock) as lag:
        clock.advance(0.1)
        await until(lambda: lag.stats()["samples"] == 1)
    clock.advance(1)
    await asyncio.sleep(0)
    assert lag.stats()["samples"] == 1
    assert not lag.stats()["running"]


@factories
def test_a_closed_loop_takes_its_bridge_with_it(factory):
    clock = _core.ManualClock()

    async def main():
        lag = LoopLag(0.1, clock=clock)
        lag.start()
        return lag

    before = descriptors()
    gauges = [run(factory, main()) for _ in range(5)]
    clock.advance(1)  # pings for closed loops go nowhere
    for thread in pump_threads():
        thread.join(30)
    assert [gauge.stats()["samples"] for gauge in gauges] == [0] * 5
    assert [gauge.stats()["running"] for gauge in gauges] == [False] * 5
    assert descriptors() <= before


def test_intervals_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"interval must be a number of seconds > 0, got 0"):
        LoopLag(0)
    with pytest.raises(ValueError, match="interval"):
        LoopLag(float("nan"))


def test_an_unstarted_gauge_reads_as_nothing():
    assert LoopLag().stats() == {
        "running": False,
        "current_ms": 0.0,
        "p50_ms": 0.0,
        "p99_ms": 0.0,
        "max_ms": 0.0,
        "samples": 0,
    }


def python(program):
    program = textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "os._exit(0)", "raise KeyError('on purpose')"])
def test_the_interpreter_exits_cleanly_with_the_engine_running(ending):
    done = python(f"""
        import asyncio, os, sys
        from resilience._loop_lag import LoopLag
        loop = asyncio.new_event_loop()
        async def main():
            global lag
            lag = LoopLag(0.001)
            lag.start()
            while not lag.stats()["samples"]:
                await asyncio.sleep(0)
        loop.run_until_complete(main())
        print("ran", flush=True)
        loop.close()
        {ending}
    """)
    assert done.stdout == "ran\n"
    assert done.returncode == {"": 0, "sys.exit(3)": 3, "os._exit(0)": 0}.get(ending, 1)
    assert "Fatal" not in done.stderr
    assert "terminate" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_an_engine_of_its_own_and_wakes_no_loop_of_its_parent():
    done = python("""
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
        from resilience import _core
        from resilience._loop_lag import LoopLag
        clock = _core.ManualClock()
        async def measured(lag):
            async with asyncio.timeout(30):
                while not lag.stats()["samples"]:
                    await asyncio.sleep(0)
        async def child():
            with LoopLag(0.001) as lag:
                await measured(lag)
        parent = asyncio.new_event_loop()
        async def main():
            with LoopLag(0.001) as warm:
                await measured(warm)
            lag = LoopLag(0.1, clock=clock)
            lag.start()
            return lag
        lag = parent.run_until_complete(main())
        pid = os.fork()
        if pid == 0:
            clock.advance(1)  # would ring the bell that both processes hold
            asyncio.run(child())
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        for _ in range(3):
            parent.run_until_complete(asyncio.sleep(0))
        print(lag.stats()["samples"])
        parent.close()
    """)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
