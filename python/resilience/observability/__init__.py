"""Metrics of breakers, caches, batchers and requests, for one process or for all workers of a server."""

from resilience.observability._families import (
    Family,
    Source,
    allocator_families,
    batcher_families,
    breaker_families,
    cache_families,
    external_api_families,
    gauge,
    redis_cache_families,
)
from resilience.observability._workers import WorkerShare, shared_folder

__all__ = [
    "Family",
    "Source",
    "WorkerShare",
    "allocator_families",
    "batcher_families",
    "breaker_families",
    "cache_families",
    "external_api_families",
    "gauge",
    "redis_cache_families",
    "shared_folder",
]
