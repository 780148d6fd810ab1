"""What a cache's hit costs against a plain dict and other caches, and what an entry takes.

Synchronous hits are ``cache.get(key)`` over 1,000 string keys in a cache with room, and in one that is full; the
whole cost of the loop counts for all alike. Asynchronous hits are whole awaits against a bare await of a trivial
coroutine. Bytes are the growth of the process for 500,000 entries beyond keys and values.
"""

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from caches.peers import DECORATED, GETTERS, KEYS, filled, trivial
from harness import Row, arguments, interleave, plot_bars, report, save, stopwatch

import resilience

ENTRIES = 500_000
AWAITS = 2_000
OURS = "resilience, ttl, stats"


def reading(get: Callable[[str], Any]) -> Callable[[], None]:
    def run() -> None:
        for key in KEYS:
            get(key)

    return run


def our_hits() -> dict[str, Callable[[], None]]:
    return {
        "resilience, ttl, stats": reading(filled(resilience.Cache(10_000, ttl=300)).get),
        "resilience, ttl, stats, full": reading(filled(resilience.Cache(1_000, ttl=300)).get),
        "resilience lru, ttl, stats": reading(filled(resilience.Cache(10_000, ttl=300, policy="lru")).get),
    }


def available(makers: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except Exception as error:  # noqa: BLE001 - a peer that can't run here is named, not hidden
            print(f"{name} is left out: {type(error).__name__}: {error}")
    return found


def sync_hits(options: Any) -> dict[str, float]:
    candidates = {"dict.get": reading({key: key for key in KEYS}.get), **our_hits()}
    if not options.no_peers:
        candidates |= {name: reading(get) for name, get in available(GETTERS).items()}
    for run in candidates.values():
        run()
    best = interleave(
        {name: stopwatch(run, calls=len(KEYS)) for name, run in candidates.items()},
        rounds=10 * options.rounds,
    )
    ratios = {name: seconds / best["dict.get"] for name, seconds in best.items()}
    rows = [Row(name, {"ns": best[name] * 1e9, "x dict.get": ratio}) for name, ratio in ratios.items()]
    report("a hit of get(key)", rows)
    return ratios


def awaiting(runner: asyncio.Runner, function: Callable[[str], Any]) -> Callable[[], float]:
    async def loop() -> float:  # timed inside: entering the event loop is nobody's cost
        start = time.perf_counter()
        for _ in range(AWAITS):
            await function("key")
        return (time.perf_counter() - start) / AWAITS

    return lambda: runner.run(loop())


def async_hits(options: Any) -> dict[str, float]:
    with asyncio.Runner() as runner:
        return async_hits_on(runner, options)


def async_hits_on(runner: asyncio.Runner, options: Any) -> dict[str, float]:
    found = {"bare await": trivial, OURS: resilience.cache(ttl=300)(trivial)}
    if not options.no_peers:
        found |= available(DECORATED)
    candidates = {}
    for name, function in found.items():
        try:
            runner.run(warmed(function))
            candidates[name] = awaiting(runner, function)
        except Exception as error:  # noqa: BLE001 - as above
            print(f"{name} is left out: {type(error).__name__}: {error}")
    best = interleave(candidates, rounds=options.rounds)
    # Nobody is near these two: they go on alone, for peers take a thousand times as long.
    near = {name: candidates[name] for name in ("bare await", OURS) if name in candidates}
    best |= {
        name: min(best[name], again) for name, again in interleave(near, rounds=20 * options.rounds).items()
    }
    ratios = {name: seconds / best["bare await"] for name, seconds in best.items()}
    rows = [Row(name, {"ns": best[name] * 1e9, "x bare await": ratio}) for name, ratio in ratios.items()]
    report("a hit of an awaited function", rows)
    return ratios


async def warmed(function: Callable[[str], Any]) -> None:
    await function("key")
    await function("key")


MEMORY = """
import gc, os, sys
def resident():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
keys = ["key:%07d" % number for number in range({entries})]
{prepare}
before = resident()
{fill}
print((resident() - before) / {entries})
"""

BY_ITEM = "for key in keys: cache[key] = key"
FILLS = {
    "dict": ("cache = {}", BY_ITEM),
    "resilience, per-entry ttl, adaptive": (
        "import resilience; cache = resilience.Cache({entries}, ttl=300)",
        BY_ITEM,
    ),
    "cachebox TTL": ("import cachebox; cache = cachebox.TTLCache({entries}, 300)", BY_ITEM),
    "cachebox VTTL": (
        "import cachebox; cache = cachebox.VTTLCache({entries})",
        "for key in keys: cache.insert(key, key, 300)",
    ),
    "lru-dict (no ttl)": ("from lru import LRU; cache = LRU({entries})", BY_ITEM),
    "cachetools TTL": ("import cachetools; cache = cachetools.TTLCache({entries}, 300)", BY_ITEM),
    "moka-py, ttl": (
        "import moka_py; cache = moka_py.Moka({entries}, ttl=300)",
        "for key in keys: cache.set(key, key)",
    ),
}


def bytes_per_entry(options: Any) -> dict[str, float]:
    figures = {}
    for name, (prepare, fill) in FILLS.items():
        if options.no_peers and not name.startswith(("dict", "resilience")):
            continue
        source = (
            MEMORY.replace("{prepare}", prepare).replace("{fill}", fill).replace("{entries}", str(ENTRIES))
        )
        command = [sys.executable, "-c", source]
        run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the source above
        if run.returncode != 0:
            print(f"{name} is left out: {run.stderr.strip().splitlines()[-1]}")
            continue
        figures[name] = float(run.stdout)
    if figures:
        report(
            f"bytes an entry, {ENTRIES:,} entries",
            [Row(name, {"bytes": value}) for name, value in figures.items()],
        )
    return figures


def two_threads() -> dict[str, float]:
    """Two threads on one cache under the interpreter's lock, against the same work in one."""
    cache = filled(resilience.Cache(1_000, ttl=300))
    run = reading(cache.get)

    def work(times: int) -> None:
        for _ in range(times):
            run()

    def timed(threads: int) -> float:
        workers = [threading.Thread(target=work, args=(600 // threads,)) for _ in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - start

    best = interleave({"1": lambda: timed(1), "2": lambda: timed(2)}, rounds=15)
    throughput = best["1"] / best["2"]
    report("two Python threads on one cache", [Row("throughput of two", {"x one": throughput})])
    return {"throughput_of_two_over_one": throughput}


def main() -> None:
    options = arguments(__doc__ or "")
    gc.collect()
    hits = sync_hits(options)
    awaits = async_hits(options)
    payload = {
        "get_hit_over_dict_get": hits,
        "async_hit_over_bare_await": awaits,
        "two_threads": two_threads(),
    }
    if sys.platform == "linux":
        payload["bytes_per_entry"] = bytes_per_entry(options)
    save("cache", payload)
    plot_bars("cache-get-hit", "a hit of get(key)", "multiples of dict.get", hits, ours="resilience")
    plot_bars(
        "cache-async-hit",
        "a hit of an awaited function",
        "multiples of a bare await",
        awaits,
        ours="resilience",
    )


if __name__ == "__main__":
    main()
