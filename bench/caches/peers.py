"""The other caches that `bench/cache.py` measures: how each is made, filled and asked for a hit.

Each maker imports its library itself, so that one that isn't here or can't run leaves the others alone.
"""

from collections.abc import Callable
from typing import Any

KEYS = [f"key:{number}" for number in range(1_000)]


def filled(cache: Any) -> Any:
    for key in KEYS:
        cache[key] = key
    return cache


async def trivial(key: str) -> str:
    return key


def cachebox_lru() -> Any:
    import cachebox

    return filled(cachebox.LRUCache(10_000)).get


def cachebox_ttl() -> Any:
    import cachebox

    return filled(cachebox.TTLCache(10_000, 300)).get


def cachebox_vttl() -> Any:
    import cachebox

    cache = cachebox.VTTLCache(10_000)
    for key in KEYS:
        cache.insert(key, key, 300)
    return cache.get


def cachetools_ttl() -> Any:
    import cachetools

    return filled(cachetools.TTLCache(10_000, 300)).get


def lru_dict() -> Any:
    from lru import LRU

    return filled(LRU(10_000)).get


def moka() -> Any:
    import moka_py

    cache = moka_py.Moka(10_000, ttl=300)
    for key in KEYS:
        cache.set(key, key)
    return cache.get


def theine() -> Any:
    from datetime import timedelta

    from theine import Cache

    cache = Cache(10_000)
    for key in KEYS:
        cache.set(key, key, timedelta(seconds=300))
    return cache.get


def lru_cache() -> Any:
    import functools

    return functools.lru_cache(10_000)(lambda key: key)


GETTERS: dict[str, Callable[[], Any]] = {
    "cachebox LRU (no ttl)": cachebox_lru,
    "cachebox TTL": cachebox_ttl,
    "cachebox VTTL": cachebox_vttl,
    "cachetools TTL": cachetools_ttl,
    "lru-dict (no ttl)": lru_dict,
    "moka-py, ttl": moka,
    "theine, ttl": theine,
    "functools.lru_cache (no ttl)": lru_cache,
}


def async_lru() -> Any:
    from async_lru import alru_cache

    return alru_cache(maxsize=1_000, ttl=300)(trivial)


def async_aiocache() -> Any:
    import aiocache

    return aiocache.cached(ttl=300)(trivial)


def async_cashews() -> Any:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")
    return cache(ttl="5m")(trivial)


def async_cachebox() -> Any:
    import cachebox

    return cachebox.cached(cachebox.TTLCache(1_000, 300))(trivial)


def async_theine() -> Any:
    from datetime import timedelta

    from theine import Memoize

    return Memoize(1_000, timedelta(seconds=300))(trivial)


DECORATED: dict[str, Callable[[], Any]] = {
    "async-lru, ttl": async_lru,
    "aiocache": async_aiocache,
    "cashews": async_cashews,
    "cachebox TTL": async_cachebox,
    "theine": async_theine,
}
