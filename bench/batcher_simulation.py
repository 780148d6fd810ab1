"""Policies of the batcher on recorded LLM arrivals, in simulated time: latency and how busy the slots are.

The batcher is the real one, on a manual clock; only the model is simulated: a batch of n takes 48 + 2n ms, and two
batches may run at once. Arrivals are the Azure LLM conversation trace (about 6 a second), and the same 40 times
as dense; without the recording, a seeded Poisson process of its rate.
"""

import asyncio
import csv
import heapq
import lzma
import os
import random
from collections.abc import Iterator
from pathlib import Path

from harness import Row, report, save

from resilience import RequestBatcher
from resilience.testing import ManualClock

PER_BATCH, PER_ITEM = 0.048, 0.002
SLOTS, SIZE = 2, 32
REQUESTS = 6_000
TRACE = "load/arrivals_azure_llm_conv.csv.xz"
POLICIES = {
    "fixed window, 100 ms": {"batch_timeout_ms": 100},
    "fixed window, 10 ms": {"batch_timeout_ms": 10},
    "adaptive, at most 100 ms": {"batch_timeout_ms": 100, "adaptive": True},
}


def arrivals() -> list[float]:
    """Return seconds from the first arrival."""
    data = os.environ.get("RESILIENCE_DATA")
    if data is None:
        dice = random.Random(6)
        now = 0.0
        return [now := now + dice.expovariate(5.6) for _ in range(REQUESTS)]
    with lzma.open(Path(data) / TRACE, "rt") as file:
        rows = csv.reader(file)
        next(rows)
        times = [float(row[0]) for row, _ in zip(rows, range(REQUESTS), strict=False)]
    return [time - times[0] for time in times]


class Model:
    """A batch function in simulated time; counts the seconds that its slots are busy."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.busy = 0.0
        self.running: list[tuple[float, int, asyncio.Event]] = []
        self.batches = 0

    async def serve(self, items: list[int]) -> list[int]:
        """Take a batch's time."""
        duration = PER_BATCH + PER_ITEM * len(items)
        self.busy += duration
        self.batches += 1
        done = asyncio.Event()
        heapq.heappush(self.running, (self.clock.now() + duration, self.batches, done))
        await done.wait()
        return items


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def steps(now: float, until: float, model: Model) -> Iterator[float]:
    """Yield the instants to stop at: ends of batches, and a grain that lets timers' batches start in time."""
    grain = 0.002
    while now < until:
        now = min([until, now + grain, *(end for end, _, _ in model.running[:1])])
        yield now


async def advance(clock: ManualClock, until: float, model: Model) -> None:
    for instant in steps(clock.now(), until, model):
        clock.advance(max(0.0, instant - clock.now()))
        while model.running and model.running[0][0] <= clock.now() + 1e-9:
            heapq.heappop(model.running)[2].set()
        await settle()


async def simulate(times: list[float], settings: dict[str, float]) -> dict[str, float]:
    clock = ManualClock()
    model = Model(clock)
    batcher = RequestBatcher(
        SIZE, process_func=model.serve, max_concurrent_batches=SLOTS, clock=clock, **settings
    )
    latencies: list[float] = []
    futures = []
    for index, time in enumerate(times):
        await advance(clock, time, model)
        future = batcher.add_request(index, index)
        future.add_done_callback(lambda _, start=time: latencies.append(clock.now() - start))
        futures.append(future)
    while not all(future.done() for future in futures[-2 * SIZE :]) or len(latencies) < len(futures):
        await advance(clock, clock.now() + 0.01, model)
    latencies.sort()
    return {
        "mean ms": 1e3 * sum(latencies) / len(latencies),
        "p99 ms": 1e3 * latencies[int(0.99 * len(latencies))],
        "slots busy %": 100 * model.busy / (SLOTS * clock.now()),
        "batch size": batcher.get_metrics()["avg_batch_size"],
    }


def main() -> None:
    times = arrivals()
    results = {}
    for speed in (1, 40):
        compressed = [time / speed for time in times]
        # At the recorded rate most steps pass over nothing; a shorter stretch says the same.
        stretch = compressed[: REQUESTS // 6] if speed == 1 else compressed
        rows = [Row(name, asyncio.run(simulate(stretch, settings))) for name, settings in POLICIES.items()]
        rate = len(stretch) / stretch[-1]
        report(
            f"{rate:.1f} requests a second, {SLOTS} slots of {PER_BATCH * 1e3:g} + {PER_ITEM * 1e3:g}n ms",
            rows,
        )
        results[f"speed {speed}"] = {row.name: row.figures for row in rows}
    save("batcher_simulation", results)


if __name__ == "__main__":
    main()
