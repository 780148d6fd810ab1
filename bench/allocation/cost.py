"""What an update, a replay and a busy forecaster cost."""

import asyncio
import itertools
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

from harness import stopwatch

from allocation.traces import MINUTE, counts
from resilience._allocator import history_file
from resilience.allocator import Forecaster, PredictiveResourceAllocator, Provisioner

WEEK = 10_080
ROUNDS = 7
PROBES = 400
BEAT = 0.002


def costs() -> dict[str, float]:
    loads = list(itertools.islice(counts(random.Random(8), MINUTE, 240.0, 0.0005), 2 * WEEK))
    quiet, busy = asyncio.run(_lag(None)), asyncio.run(_lag(loads))
    return {
        "forecast us": 1e6 * _update(loads, provision=False),
        "provision us": 1e6 * _update(loads, provision=True),
        "week replay ms": 1e3 * min(_restored(loads[:WEEK]) for _ in range(ROUNDS)),
        "lag idle us": 1e6 * quiet,
        "lag busy us": 1e6 * busy,
    }


def _update(loads: list[float], *, provision: bool) -> float:
    """Return seconds for one observation with its forecast, once the first week has been learned."""
    best = float("inf")
    for _ in range(ROUNDS):
        machine = Forecaster(step=MINUTE, lead_time=15 * MINUTE)
        unit = Provisioner(machine, capacity_per_unit=60.0, start_delay=15 * MINUTE, max_units=40)
        taker = unit if provision else machine
        taker.replay(loads[:WEEK])
        best = min(best, stopwatch(lambda taker=taker: taker.replay(loads[WEEK:]), calls=WEEK)())
    return best


def _restored(loads: list[float]) -> float:
    """Return seconds in which an allocator reads and replays a kept week: rate, connections, response time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history"
        first = PredictiveResourceAllocator()
        for minute, load in enumerate(loads):
            first.observe(
                {"rpm": load, "connections": load / 20, "response_time": 0.1, "timestamp": minute * MINUTE}
            )
        history_file.save(path, MINUTE, first._native.rows())  # noqa: SLF001 - as the monitoring does
        second = PredictiveResourceAllocator(history_path=path)
        return stopwatch(lambda: second._history._restore(path), calls=1)()  # noqa: SLF001 - as above


async def _lag(loads: list[float] | None) -> float:
    """Return the median lateness of a timer, with or without a thread that forecasts all the time."""
    stop = threading.Event()

    def forecast_on() -> None:
        machine = Provisioner(
            Forecaster(step=MINUTE, lead_time=15 * MINUTE),
            capacity_per_unit=60.0,
            start_delay=15 * MINUTE,
            max_units=40,
        )
        while not stop.is_set():
            machine.replay(loads or [])

    thread = threading.Thread(target=forecast_on)
    if loads:
        thread.start()
    late = []
    for _ in range(PROBES):
        due = time.perf_counter() + BEAT
        await asyncio.sleep(BEAT)
        late.append(time.perf_counter() - due)
    stop.set()
    if loads:
        await asyncio.to_thread(thread.join)
    return statistics.median(late)
