"""Recorded loads, one value a step.

``RESILIENCE_DATA`` names the folder with ``load/<name>.csv.xz`` (``timestamp,value``). The originals are public: the
World Cup 98 and NASA-HTTP logs, the Numenta Anomaly Benchmark, and Alibaba's ServeGen. Without the folder seeded
generators stand in: day and week rhythm times a slowly wandering level, counted like requests, with rare bursts.
"""

import csv
import lzma
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0


@dataclass(frozen=True)
class Trace:
    """A load: its values `step` seconds apart, the first of them at `start` (UNIX seconds)."""

    name: str
    step: float
    start: float
    values: list[float]

    @property
    def per_day(self) -> int:
        """Steps a day."""
        return round(DAY / self.step)


def traces(wanted: list[str]) -> Iterator[Trace]:
    """Read every trace, or those named."""
    folder = os.environ.get("RESILIENCE_DATA")
    if folder is None:
        print("RESILIENCE_DATA is not set: generated traces stand in")
        yield from (trace for trace in generated() if not wanted or trace.name in wanted)
        return
    for path in sorted((Path(folder) / "load").glob("*.csv.xz")):
        name = path.name.removesuffix(".csv.xz")
        if not name.startswith("arrivals_") and (not wanted or name in wanted):
            yield recorded(name, path)


def recorded(name: str, path: Path) -> Trace:
    with lzma.open(path, "rt") as lines:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(lines)]
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() for time, _ in rows[:2]]
    return Trace(name, times[1] - times[0], times[0], [value for _, value in rows])


def generated() -> Iterator[Trace]:
    for name, step, mean, burst in (
        ("generated, minutes", MINUTE, 240.0, 0.0005),
        ("generated, 5 minutes", 5 * MINUTE, 60.0, 0.004),
        ("generated, half hours", 30 * MINUTE, 9_000.0, 0.002),
    ):
        yield Trace(name, step, 0.0, list(counts(random.Random(name), step, mean, burst)))


def counts(dice: random.Random, step: float, mean: float, burst: float) -> Iterator[float]:
    level, boost = 0.0, 0.0
    keep = math.exp(-step / (6 * HOUR))
    for number in range(round(28 * DAY / step)):
        time = number * step
        level = keep * level + 0.15 * math.sqrt(1 - keep * keep) * dice.gauss(0, 1)
        boost = dice.uniform(0.5, 1.5) if dice.random() < burst else boost * math.exp(-step / (0.5 * HOUR))
        day = 1 + 0.7 * math.sin(2 * math.pi * (time / DAY - 0.3))
        week = 0.6 if time // DAY % 7 >= 5 else 1.0
        expected = mean * day * week * math.exp(level) * (1 + boost)
        yield max(0.0, round(dice.gauss(expected, math.sqrt(expected))))
