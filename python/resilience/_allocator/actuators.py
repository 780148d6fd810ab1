"""What a decided size is applied to: caches, bulkheads, adaptive limits. Each reads back what came of it."""

from collections.abc import Callable
from typing import Any

from resilience._adaptive_limit import AdaptiveLimit
from resilience._bulkhead import Bulkhead
from resilience._cache import Cache
from resilience._checks import whole

MEBIBYTE = 2**20

Resize = Callable[[int], int]


def cache_size(cache: Cache[Any, Any], *, entries_per_mb: int | None = None) -> Resize:
    """Return what sets a cache's bound in MiB, for `bind("cache_size_mb", ...)`.

    Args:
        cache: Bounded by bytes, or by entries with `entries_per_mb`.
        entries_per_mb: How many entries a MiB stands for, >= 1.

    Raises:
        ValueError: when the cache has no bound in bytes and `entries_per_mb` isn't given, or is out of range.
    """
    if entries_per_mb is None:
        if cache.stats()["bytes"] is None:
            raise ValueError("entries_per_mb must be given for a cache made without max_bytes")
    elif whole("entries_per_mb", entries_per_mb) < 1:
        raise ValueError(f"entries_per_mb must be a whole number >= 1, got {entries_per_mb}")

    def resize(size: int) -> int:
        if entries_per_mb is None:
            cache.resize(max_bytes=size * MEBIBYTE)
            return size
        cache.resize(max_entries=size * entries_per_mb)
        return int(cache.stats()["max_size"]) // entries_per_mb

    return resize


def bulkhead_size(bulkhead: Bulkhead) -> Resize:
    """Return what sets how many calls a bulkhead lets run at once."""

    def resize(size: int) -> int:
        bulkhead.resize(size)
        return bulkhead.max_concurrent

    return resize


def adaptive_limit_size(limit: AdaptiveLimit) -> Resize:
    """Return what sets the most that an adaptive limit may come to."""

    def resize(size: int) -> int:
        limit.resize(max=size)
        return limit.max_limit

    return resize
