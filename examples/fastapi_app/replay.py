"""A recorded load for the allocator to live through, its last week in a minute.

`RESILIENCE_DATA` names the folder with `load/<name>.csv.xz` (`timestamp,value`), such as the load balancer of the
Numenta Anomaly Benchmark, `nab_elb_request_count` (MIT). Where it isn't there, a seeded generator draws a load like
it: requests in five minutes that follow the day, with bursts.
"""

import asyncio
import csv
import lzma
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from resilience.allocator import PredictiveResourceAllocator, ResourceMetrics
from resilience.testing import ManualClock

MINUTE, DAY, WEEK = 60.0, 86_400.0, 7 * 86_400.0
# The recordings tell requests alone: at their peak so many connections are open, so many cores busy.
PEAK_CONNECTIONS, PEAK_CORES = 80, 16
RESPONSE_TIME = 0.05

_GENERATED_STEP, _GENERATED_MEAN, _BURST = 300.0, 60.0, 0.006


@dataclass(frozen=True)
class Recording:
    """Requests a step, `step` seconds apart, the first at `start` (UNIX seconds)."""

    name: str
    start: float
    step: float
    requests: list[float]

    @cached_property
    def peak(self) -> float:
        """The most requests in a step."""
        return max(1.0, *self.requests)

    def sample(self, number: int) -> ResourceMetrics:
        """Return what would have been measured over a step."""
        requests = self.requests[number]
        share = requests / self.peak
        return ResourceMetrics(
            rpm=MINUTE * requests / self.step,
            connections=math.ceil(PEAK_CONNECTIONS * share),
            response_time=RESPONSE_TIME if requests else None,
            cpu_cores=PEAK_CORES * share,
            timestamp=self.start + number * self.step,
        )


def load(name: str, seed: int = 1) -> Recording:
    """Read a recording, or draw one where there is none to read.

    Raises:
        ValueError: when the folder of recordings has none of that name.
    """
    folder = os.environ.get("RESILIENCE_DATA")
    if folder is None:
        return generate(seed)
    found = {path.name.removesuffix(".csv.xz"): path for path in (Path(folder) / "load").glob("*.csv.xz")}
    loads = sorted(each for each in found if not each.startswith("arrivals_"))
    if name not in loads:
        raise ValueError(f"replay must be one of {', '.join(loads)}, got {name!r}")
    return read(name, found[name])


def read(name: str, path: Path) -> Recording:
    """Read the last three weeks of a recording of `timestamp,value` rows."""
    with lzma.open(path, "rt", encoding="ascii") as lines:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(lines)]
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() for time, _ in rows[:2]]
    step = times[1] - times[0]
    kept = min(len(rows), round(3 * WEEK / step))
    start = times[0] + (len(rows) - kept) * step
    return Recording(name, start, step, [value for _, value in rows[-kept:]])


def generate(seed: int) -> Recording:
    """Draw two weeks with a rhythm of days, noise like that of counts, and bursts."""
    dice = random.Random(seed)  # noqa: S311 - a load is to repeat, not to be secret
    boost, requests = 0.0, []
    for number in range(round(2 * WEEK / _GENERATED_STEP)):
        day = 1 + 0.8 * math.sin(2 * math.pi * (number * _GENERATED_STEP / DAY - 0.3))
        boost = dice.uniform(1, 3) if dice.random() < _BURST else 0.8 * boost
        expected = _GENERATED_MEAN * day * (1 + boost)
        requests.append(max(0.0, round(dice.gauss(expected, math.sqrt(expected)))))
    return Recording("generated", 0.0, _GENERATED_STEP, requests)


class Replay:
    """An allocator on a clock of its own, which learns all but the last week and lives through that.

    Args:
        recording: The load.
        seconds: In which the week passes.
        make: Makes the allocator.
    """

    def __init__(
        self, recording: Recording, *, seconds: float, make: Callable[..., PredictiveResourceAllocator]
    ) -> None:
        self.recording = recording
        self._played = max(0, len(recording.requests) - round(WEEK / recording.step))
        self._pause = seconds * recording.step / WEEK
        self.clock = ManualClock(recording.start + self._played * recording.step)
        self.allocator = make(
            interval=recording.step,
            history_days=21,
            metrics_source=self._measured,
            clock=self.clock,
        )

    def learn(self) -> None:
        """Take what came before the week; some tens of milliseconds, best in a thread."""
        self.allocator.preload(self.recording.sample(number) for number in range(self._played))

    async def run(self) -> None:
        """Let the week pass, each step once the one before it has been taken, then stay at its end."""
        while self._played < len(self.recording.requests):
            if self._is_taken():
                self.clock.advance(self.recording.step)
            await asyncio.sleep(self._pause)

    def _is_taken(self) -> bool:
        latest = self.allocator.get_predictions()["last_sample_time"]
        return latest is not None and latest >= self.clock.time()

    async def _measured(self) -> ResourceMetrics | None:
        if self._played >= len(self.recording.requests):
            return None
        sample = self.recording.sample(self._played)
        self._played += 1
        return sample

    def progress(self) -> dict[str, object]:
        """Tell which load this is and how far it has come."""
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        done = self._played / len(self.recording.requests)
        return {"recording": self.recording.name, "at": at.isoformat(), "share": round(done, 3)}
