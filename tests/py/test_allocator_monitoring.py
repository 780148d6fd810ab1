"""The allocator's monitoring: ticks, sources, history on disk."""

import asyncio
import contextlib
import gc
import json
import os
import threading
import time
import weakref

import pytest

from resilience._allocator import history_file
from resilience._core import ManualClock, NativeSystemProbe
from resilience.allocator import PredictiveResourceAllocator, RequestSource
from resilience.fastapi import RequestMetrics
from support.until import settle

MIDNIGHT = 20_000 * 86_400.0


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def history_size(machine):
    return machine.get_predictions()["history_size"]


def problems(machine):
    return [problem["kind"] for problem in machine.get_predictions()["problems"]]


class Watched(PredictiveResourceAllocator):
    """An allocator that counts the steps it was told of."""

    steps = 0

    def _on_step(self, step):
        super()._on_step(step)
        self.steps += 1


class Rig:
    """An allocator on a manual clock, ticked one interval at a time; the first sample is taken on entry."""

    def __init__(self, **settings):
        self.clock = ManualClock(MIDNIGHT)
        self.calls = 0
        settings = {"metrics_source": self.source, "clock": self.clock, **settings}
        self.machine = Watched(**settings)

    def source(self):
        self.calls += 1
        return {"rpm": 140.0, "connections": 50.0, "response_time": 0.1}

    async def tick(self, count=1, seconds=60.0):
        for _ in range(count):
            before = history_size(self.machine)
            self.clock.advance(seconds)
            await until(lambda before=before: history_size(self.machine) > before)

    async def __aenter__(self):
        before = self.machine.steps
        await self.machine.start_monitoring()
        await until(lambda: self.machine.steps > before or problems(self.machine))
        return self

    async def __aexit__(self, *exc_info):
        await self.machine.stop_monitoring()


async def test_it_samples_at_once_then_once_an_interval_and_is_active_meanwhile():
    async with Rig() as rig:
        assert rig.machine.get_predictions()["optimization_status"] == "active"
        assert (rig.calls, history_size(rig.machine)) == (1, 1)
        await rig.tick(3)
        assert (rig.calls, history_size(rig.machine)) == (4, 4)
        assert rig.machine.get_predictions()["last_sample_time"] == MIDNIGHT + 180.0
        assert rig.machine.get_predictions()["last_sample_age"] == 0.0
    assert rig.machine.get_predictions()["optimization_status"] == "inactive"


async def test_starting_twice_samples_once():
    async with Rig() as rig:
        await rig.machine.start_monitoring()
        await rig.tick(2)
        assert rig.calls == 3


async def test_it_can_be_started_again_and_takes_no_second_sample_of_a_step():
    rig = Rig()
    for _ in range(2):
        async with rig:
            await rig.tick()
    assert history_size(rig.machine) == 3


async def test_what_it_decides_is_applied_on_the_loop():
    rig, seen = Rig(), []
    rig.machine.bind("workers", lambda size: seen.append((size, asyncio.get_running_loop())))
    async with rig:
        await until(lambda: seen)
    assert seen == [(20, asyncio.get_running_loop())]


async def test_the_source_may_be_a_coroutine_function():
    async def source():
        await asyncio.sleep(0)
        return {"rpm": 70.0}

    async with Rig(metrics_source=source) as rig:
        await rig.tick()
        assert rig.machine.get_predictions()["predictions"]["expected_rpm"] == 70.0


async def test_a_source_that_fails_leaves_a_gap_and_monitoring_goes_on(caplog):
    async with Rig() as rig:

        def broken():
            raise OSError("exporter down")

        await rig.tick()
        rig.machine.metrics_source = broken
        await rig.tick(2)
        rig.machine.metrics_source = rig.source
        await rig.tick()
        assert problems(rig.machine) == ["source_failed", "source_failed"]
        assert history_size(rig.machine) == 5
        assert rig.machine.get_predictions()["predictions"]["expected_rpm"] == 140.0
    assert "metrics_source failed" in caplog.text


async def test_figures_that_are_refused_are_reported():
    rig = Rig(metrics_source=lambda: {"rpm": -5.0})
    async with rig:
        assert problems(rig.machine) == ["metrics_refused"]
        rig.machine.metrics_source = rig.source
        await rig.tick()


async def test_a_source_that_hangs_is_reported_and_not_piled_up():
    answer = asyncio.Event()

    async def source():
        await answer.wait()
        return {"rpm": 1.0}

    async with Rig() as rig:
        rig.machine.metrics_source = source
        rig.clock.advance(60.0)
        rig.clock.advance(60.0)
        await until(lambda: problems(rig.machine))
        assert set(problems(rig.machine)) == {"source_slow"}
        answer.set()
        await until(lambda: history_size(rig.machine) > 1)


async def test_an_actuator_that_raises_does_not_stop_the_monitoring(caplog):
    rig = Rig()

    def broken(size):
        raise RuntimeError("no")

    rig.machine.bind("workers", broken)
    async with rig:
        await rig.tick(2)
        await until(lambda: len(problems(rig.machine)) == 3)
        assert problems(rig.machine) == ["apply_failed"] * 3
        assert rig.machine.get_predictions()["current_allocations"]["workers"] == 5
        assert rig.machine.get_predictions()["current_allocations"]["connections"] == 63


async def test_system_figures_stand_beside_the_predictions():
    if not NativeSystemProbe.supported():
        pytest.skip("needs /proc")
    async with Rig() as rig:
        await rig.tick(2)
        system = rig.machine.get_predictions()["system"]
        assert system["memory_bytes"] > 1e6
        assert system["threads"] >= 1
        assert 0.0 < system["memory_fraction"] < 1.5
        assert json.loads(json.dumps(rig.machine.get_predictions()))["history_size"] == 3


async def test_without_a_source_only_the_system_is_sampled():
    async with Rig(metrics_source=None) as rig:
        await rig.tick(2)
        assert rig.machine.get_predictions()["predictions"]["expected_rpm"] == 0.0


async def test_request_counters_become_rates():
    clock = ManualClock(MIDNIGHT)
    counters = RequestMetrics()
    source = RequestSource(counters, now=clock.now)
    async with Rig(clock=clock, metrics_source=source.read) as rig:
        rig.clock = clock
        for _ in range(90):
            counters.observe("GET", "/", 200, 0.25)
        counters.active = 7
        await rig.tick()
        expected = rig.machine.get_predictions()["predictions"]
        assert expected["expected_rpm"] == pytest.approx(90.0)
        assert expected["expected_connections"] == 7.0
        assert expected["expected_response_time"] == pytest.approx(0.25)
        await rig.tick()
        assert rig.machine.get_predictions()["predictions"]["expected_rpm"] == 0.0


async def test_what_killed_processes_left_beside_the_history_goes_and_what_is_being_saved_stays(tmp_path):
    long_ago = time.time() - 2 * history_file._LONGEST_SAVE
    for name in ("historyabcd_123.tmp", "historyefgh_456.tmp", "history-of-mine.tmp", "other0123abcd.tmp"):
        (tmp_path / name).touch()
        if name != "historyefgh_456.tmp":
            os.utime(tmp_path / name, (long_ago, long_ago))
    async with Rig(history_path=tmp_path / "history") as rig:
        assert rig.machine.get_predictions()["problems"] == []
    left = {"history", "historyefgh_456.tmp", "history-of-mine.tmp", "other0123abcd.tmp"}
    assert {file.name for file in tmp_path.iterdir()} == left


async def test_history_survives_a_restart_with_its_gap(tmp_path):
    path = tmp_path / "history"
    async with Rig(history_path=path) as rig:
        await rig.tick(5)
        assert history_size(rig.machine) == 6
    later = Rig(history_path=path)
    later.clock.advance(3600.0)
    await asyncio.to_thread(later.machine._history._restore, path)
    assert history_size(later.machine) == 6
    assert later.machine.get_predictions()["current_allocations"]["workers"] == 5
    assert later.machine.audit() == []
    later = Rig(history_path=path)
    later.clock.advance(3600.0)
    async with later:
        assert history_size(later.machine) == 6 + 55
        assert problems(later.machine) == ["gap"]
    assert [file.name for file in tmp_path.iterdir()] == ["history"]


@pytest.mark.parametrize("damage", ["torn", "foreign", "empty", "other interval", "flipped"])
async def test_a_history_file_that_cannot_be_used_is_set_aside_and_reported(tmp_path, damage):
    path = tmp_path / "history"
    async with Rig(history_path=path, interval=30.0 if damage == "other interval" else 60.0) as rig:
        await rig.tick(3)
    content = path.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    made = {"torn": content[:-7], "foreign": b"a,b\n1,2\n", "empty": b"", "flipped": flipped}
    path.write_bytes(made.get(damage, content))
    async with Rig(history_path=path) as rig:
        assert problems(rig.machine) == ["history_set_aside"]
        await until(lambda: history_size(rig.machine) == 1)
        await rig.tick(2)
        assert history_size(rig.machine) == 3
    aside = [file for file in tmp_path.iterdir() if ".unusable-" in file.name]
    assert [file.read_bytes() for file in aside] == [made.get(damage, content)]


@contextlib.contextmanager
def restoring_slowly(machine):
    """Read the history only when the block ends."""
    history, go_on = machine._history, threading.Event()
    restore = history._restore

    def restore_slowly(path):
        go_on.wait()
        restore(path)

    history._restore = restore_slowly
    try:
        yield
    finally:
        go_on.set()


async def test_starting_again_waits_for_the_history_that_is_being_read(tmp_path):
    path = tmp_path / "history"
    async with Rig(history_path=path) as rig:
        await rig.tick(3)
    rig = Rig(history_path=path)
    rig.clock.advance(3600.0)
    with restoring_slowly(rig.machine):
        starting = [asyncio.create_task(rig.machine.start_monitoring()) for _ in range(2)]
        await settle()
        assert rig.calls == 0
    await asyncio.gather(*starting)
    await until(lambda: rig.machine.steps)
    await rig.machine.stop_monitoring()
    assert problems(rig.machine) == ["gap"]
    assert rig.calls == 1


async def test_what_is_stopped_while_it_starts_does_not_go_on(tmp_path):
    rig = Rig(history_path=tmp_path / "history")
    with restoring_slowly(rig.machine):
        starting = asyncio.create_task(rig.machine.start_monitoring())
        await settle()
        stopping = asyncio.create_task(rig.machine.stop_monitoring())
        await settle()
    await asyncio.gather(starting, stopping)
    assert rig.machine.get_predictions()["optimization_status"] == "inactive"


async def test_a_history_that_cannot_be_written_is_reported(tmp_path, caplog):
    async with Rig(history_path=tmp_path / "nowhere" / "history") as rig:
        await rig.tick(2)
        await until(lambda: problems(rig.machine))
    assert set(problems(rig.machine)) == {"history_not_saved"}


async def test_a_day_without_samples_is_a_day_of_gaps():
    async with Rig() as rig:
        await rig.tick()
        rig.machine.metrics_source = lambda: None
        await rig.tick(20)
        rig.machine.metrics_source = rig.source
        await rig.tick()
        assert history_size(rig.machine) == 23
        assert rig.machine.get_predictions()["predictions"]["expected_rpm"] == 140.0


async def test_a_clock_set_back_and_missed_intervals_are_reported():
    async with Rig() as rig:
        await rig.tick()
        step = {"time": MIDNIGHT, "proposals": []}
        rig.machine._on_step({**step, "steps": 1, "set_back": True})
        rig.machine._on_step({**step, "steps": 481, "set_back": False})
        assert problems(rig.machine) == ["clock_set_back", "gap"]
        assert "480 intervals" in rig.machine.get_predictions()["problems"][1]["detail"]


async def test_an_allocator_that_is_dropped_while_monitoring_goes_away():
    rig = Rig()
    await rig.machine.start_monitoring()
    gone = weakref.ref(rig.machine)
    del rig.machine
    gc.collect()
    assert gone() is None


def test_monitoring_ends_with_its_loop():
    rig = Rig()
    asyncio.run(rig.machine.start_monitoring())
    assert rig.machine.get_predictions()["optimization_status"] == "inactive"

    async def again():
        async with rig:
            await rig.tick()

    asyncio.run(again())
    assert history_size(rig.machine) == 2
