"""Hit rates of the eviction policies over recorded traces, against published ones.

``RESILIENCE_DATA`` names the folder with the traces (``cache/<name>.txt.xz``, one key a line); the originals are
public: cache2k's benchmarks (orm_busy, web12, weblog424), Caffeine's simulator (scarab_recs, and the LIRS and ARC
traces), Mooncake and AdaptSize. Without it a seeded generator stands in: Zipf's law, a loop, and a mix of both. Every
policy sees get -> miss -> put with object-count capacity from a cold start. Peers come from libcachesim.
"""

import lzma
import os
import random
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


def libcachesim_rates() -> Callable[[int, list[str]], dict[str, float]]:
    try:
        import libcachesim
    except ImportError:
        print("libcachesim is missing: published policies are left out")
        return lambda _capacity, _keys: {}

    def rates(capacity: int, keys: list[str]) -> dict[str, float]:
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(key, len(numbers)) for key in keys]
        found = {}
        for name in PEERS:
            if hasattr(libcachesim, name):
                found[name] = peer_rate(libcachesim, name, capacity, ids)
        return found

    return rates


def peer_rate(libcachesim: Any, name: str, capacity: int, ids: list[int]) -> float:
    policy = getattr(libcachesim, name)(cache_size=capacity)
    request = libcachesim.Request()
    request.obj_size = 1
    hits = 0
    for number in ids:
        request.obj_id = number
        hits += policy.get(request)
    return 100 * hits / len(ids)


def main() -> None:
    options = arguments(__doc__ or "", rounds=1)
    published = (lambda _capacity, _keys: {}) if options.no_peers else libcachesim_rates()
    rows = []
    for name, keys, capacities in traces():
        for capacity in capacities:
            figures = {policy: our_rate(policy, capacity, keys) for policy in OURS}
            rows.append(Row(f"{name} {capacity}", figures | published(capacity, keys)))
            print(
                rows[-1].name,
                {policy: round(rate, 2) for policy, rate in rows[-1].figures.items()},
                flush=True,
            )
    columns = list(rows[0].figures)
    means = {column: sum(row.figures[column] for row in rows) / len(rows) for column in columns}
    rows.append(Row("mean", means))
    report("hit rate in %", rows)
    others = [column for column in columns if column not in OURS]
    worst = max(max([row.figures[c] for c in others], default=0.0) - row.figures["adaptive"] for row in rows)
    if others:
        print(
            f"adaptive: mean {means['adaptive']:.2f}, worst distance behind the best of {others}: {worst:.2f}"
        )
    save("cache-hit-rate", {"cells": {row.name: row.figures for row in rows}, "worst_gap": worst})
    labels = {f"resilience {name}" if name in OURS else name: mean for name, mean in means.items()}
    plot_bars("cache-hit-rate", "mean hit rate", "%", labels, ours="resilience adaptive")


if __name__ == "__main__":
    main()
