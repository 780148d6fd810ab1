"""Hit rates of the eviction policies over recorded traces, against published ones.

``RESILIENCE_DATA`` names the folder with the traces (``cache/<name>.txt.xz``, one key a line); the originals are
public: cache2k's benchmarks (orm_busy, web12, weblog424), Caffeine's simulator (scarab_recs, and the LIRS and ARC
traces), Mooncake and AdaptSize. Without it a seeded generator stands in: Zipf's law, a loop, and a mix of both. Every
policy sees get -> miss -> put with object-count capacity from a cold start. Published policies come from libcachesim,
moka-py and, where Java and Maven are, from Caffeine itself (`bench/caffeine`).
"""

import array
import lzma
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Row, arguments, plot_bars, report, save

import resilience

CAPACITIES = {
    "lirs_loop": (256, 512, 900),
    "lirs_multi3": (500, 2_000, 4_000),
    "arc_oltp": (1_000, 5_000, 15_000),
    "orm_busy_1m": (500, 2_500, 10_000),
    "web12": (500, 1_000, 3_000),
    "weblog424": (500, 2_000, 8_000),
    "scarab_recs": (10_000, 50_000, 100_000),
    "mooncake_conv": (5_000, 20_000, 60_000),
    "adaptsize_cdn": (500, 2_000, 8_000),
    "synth_zipf09_100k": (1_000, 5_000, 20_000),
}
OURS = ("adaptive", "lru", "s3fifo", "w_tinylfu")
PEERS = ("S3FIFO", "Sieve", "ARC", "LIRS", "LRU", "WTinyLFU")
ROOT = Path(__file__).parents[1]

Rates = Callable[[list[int], tuple[int, ...]], dict[int, dict[str, float]]]  # by capacity and policy


def traces() -> Iterator[tuple[str, list[str], tuple[int, ...]]]:
    folder = os.environ.get("RESILIENCE_DATA")
    if folder is None:
        print("RESILIENCE_DATA is not set: generated traces stand in")
        yield from generated()
        return
    for name, capacities in CAPACITIES.items():
        with lzma.open(Path(folder) / "cache" / f"{name}.txt.xz", "rt") as lines:
            yield name, lines.read().split("\n")[:-1], capacities


def generated() -> Iterator[tuple[str, list[str], tuple[int, ...]]]:
    draw = random.Random(20_240_601)
    weights = [1 / (rank + 1) ** 0.9 for rank in range(50_000)]
    zipf = [str(key) for key in draw.choices(range(50_000), weights, k=300_000)]
    loop = [f"loop {number % 1_011}" for number in range(300_000)]
    mixed = [pair[draw.random() < 0.5] for pair in zip(zipf, loop, strict=True)]
    for name, keys in (("zipf 0.9", zipf), ("loop", loop), ("mixed", mixed)):
        yield name, keys, (500, 900, 5_000)


def our_rate(policy: Any, capacity: int, keys: list[str]) -> float:
    cache = resilience.Cache[str, bool](capacity, policy=policy)
    get = cache.get
    for key in keys:
        if get(key) is None:
            cache[key] = True
    return 100 * float(cache.stats()["hit_rate"])


def numbered(keys: list[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def published() -> list[Rates]:
    """Return what runs here, naming what doesn't."""
    found: list[Rates] = []
    for name, make in (
        ("libcachesim", libcachesim_rates),
        ("moka-py", moka_rates),
        ("Caffeine", caffeine_rates),
    ):
        try:
            found.append(make())
        except (ImportError, OSError, subprocess.SubprocessError) as error:
            print(f"{name} is left out: {error}")
    return found


def libcachesim_rates() -> Rates:
    import libcachesim

    def rate(name: str, capacity: int, ids: list[int]) -> float:
        policy = getattr(libcachesim, name)(cache_size=capacity)
        request = libcachesim.Request()
        request.obj_size = 1
        hits = 0
        for number in ids:
            request.obj_id = number
            hits += policy.get(request)
        return 100 * hits / len(ids)

    names = [name for name in PEERS if hasattr(libcachesim, name)]
    return lambda ids, capacities: {
        capacity: {name: rate(name, capacity, ids) for name in names} for capacity in capacities
    }


def moka_rates() -> Rates:
    import moka_py

    def rate(capacity: int, ids: list[int]) -> float:
        cache = moka_py.Moka(capacity)
        hits = 0
        for number in ids:
            if cache.get(number) is None:
                cache.set(number, True)  # noqa: FBT003 - a value
            else:
                hits += 1
        return 100 * hits / len(ids)

    return lambda ids, capacities: {capacity: {"moka-py": rate(capacity, ids)} for capacity in capacities}


def caffeine_rates() -> Rates:
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed (apt-get install openjdk-17-jdk maven)")
    project, built = ROOT / "bench" / "caffeine" / "pom.xml", ROOT / "build" / "caffeine"
    subprocess.run(["mvn", "-q", "-B", "-f", project, "process-classes"], check=True)  # noqa: S603, S607 - our own project
    command = ["java", "-cp", f"{built / 'classes'}:{built / 'lib'}/*", "HitRate"]

    def rates(ids: list[int], capacities: tuple[int, ...]) -> dict[int, dict[str, float]]:
        keys = array.array("i", [len(ids), *ids])
        keys.byteswap()  # Java reads big-endian numbers
        run = subprocess.run(  # noqa: S603 - built above
            [*command, *map(str, capacities)], input=keys.tobytes(), capture_output=True, check=True
        )
        lines = (line.split() for line in run.stdout.decode().splitlines())
        return {int(capacity): {"Caffeine": float(rate)} for capacity, rate in lines}

    return rates


def measure(peers: list[Rates]) -> list[Row]:
    rows = []
    for name, keys, capacities in traces():
        ids = numbered(keys)
        others = [rates(ids, capacities) for rates in peers]
        for capacity in capacities:
            figures = {policy: our_rate(policy, capacity, keys) for policy in OURS}
            for other in others:
                figures |= other[capacity]
            rows.append(Row(f"{name} {capacity}", figures))
            print(rows[-1].name, {policy: round(rate, 2) for policy, rate in figures.items()}, flush=True)
    return rows


def summarise(rows: list[Row]) -> dict[str, object]:
    """Print how far the default policy is from the best published one of each cell, and return it."""
    others = [column for column in rows[0].figures if column not in OURS]
    if not others:
        return {}
    best = {row.name: max(others, key=row.figures.__getitem__) for row in rows}
    gaps = {row.name: row.figures["adaptive"] - row.figures[best[row.name]] for row in rows}
    report(
        "the default policy and the best published one of each cell",
        [
            Row(
                f"{row.name} ({best[row.name]})",
                {
                    "adaptive": row.figures["adaptive"],
                    "best": row.figures[best[row.name]],
                    "points": gaps[row.name],
                },
            )
            for row in rows
        ],
    )
    worst = min(gaps, key=gaps.__getitem__)
    over = {
        other: sum(row.figures["adaptive"] - row.figures[other] for row in rows) / len(rows)
        for other in others
    }
    ahead = sum(gap > 0 for gap in gaps.values())
    print(
        f"best or ahead of all in {ahead} of {len(rows)} cells; furthest behind {-gaps[worst]:.2f} points in {worst}"
    )
    print("mean points above: " + ", ".join(f"{other} {points:.2f}" for other, points in over.items()))
    return {
        "best_published": best,
        "points_over_best": gaps,
        "worst_gap": -gaps[worst],
        "mean_points_over": over,
    }


def main() -> None:
    options = arguments(__doc__ or "", rounds=1)
    rows = measure([] if options.no_peers else published())
    summary = summarise(rows)
    means = {column: sum(row.figures[column] for row in rows) / len(rows) for column in rows[0].figures}
    rows.append(Row("mean", means))
    report("hit rate in %", rows)
    save("cache-hit-rate", {"cells": {row.name: row.figures for row in rows}, **summary})
    labels = {f"resilience {name}" if name in OURS else name: mean for name, mean in means.items()}
    plot_bars("cache-hit-rate", "mean hit rate", "%", labels, ours="resilience adaptive")


if __name__ == "__main__":
    main()
