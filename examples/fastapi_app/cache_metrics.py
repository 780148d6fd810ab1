"""`GET /api/metrics/cache`: the caches of the process, and Redis."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from resilience.observability import cache_families
from services import UNAVAILABLE, Figures, Services

router = APIRouter(tags=["metrics"])


def percent(part: float, whole: float) -> str:
    """Write a share as `41.30%`; nothing of nothing is `0.00%`."""
    return f"{100 * part / whole if whole else 0.0:.2f}%"


def cache_report(services: Services) -> dict[str, Any]:
    """Return every cache's figures and the overall ones, Redis included where there is one."""
    caches = {name: services.read(name, _local(stats)) for name, stats in services.caches.items()}
    hits = sum(cache.get("hits", 0) for cache in caches.values())
    misses = sum(cache.get("misses", 0) for cache in caches.values())
    redis = _redis(services)
    hits += redis.get("keyspace_hits", 0)
    misses += redis.get("keyspace_misses", 0)
    return {
        "timestamp": datetime.now(UTC).isoformat(),
        "caches": {**caches, "redis": redis},
        "overall": {
            "total_hits": hits,
            "total_misses": misses,
            "overall_hit_rate": percent(hits, hits + misses),
            "efficiency_score": round(100 * hits / (hits + misses), 2) if hits + misses else 0.0,
        },
    }


def hit_rate(services: Services) -> float | None:
    """Return the hit rate of the process's caches, None before the first look-up."""
    stats = [stats() for stats in services.caches.values()]
    hits = sum(each["hits"] for each in stats)
    lookups = hits + sum(each["misses"] for each in stats)
    return hits / lookups if lookups else None


def _local(stats: Figures) -> Figures:
    def figures() -> dict[str, Any]:
        found = stats()
        hits, misses = found["hits"], found["misses"]
        return {
            "size": found["size"],
            "hits": hits,
            "misses": misses,
            "hit_rate": percent(hits, hits + misses),
            "ttl_seconds": found.get("ttl_seconds"),
        }

    return figures


def _redis(services: Services) -> dict[str, Any]:
    if services.redis is None:
        return {"status": UNAVAILABLE}
    try:
        info = services.redis()
    except (ConnectionError, TimeoutError):
        return {"status": UNAVAILABLE}
    return services.read("redis", lambda: _server(info))


def _server(info: Mapping[str, Any]) -> dict[str, Any]:
    hits, misses = info["keyspace_hits"], info["keyspace_misses"]
    return {
        "keyspace_hits": hits,
        "keyspace_misses": misses,
        "hit_rate": percent(hits, hits + misses),
        "evicted_keys": info["evicted_keys"],
        "used_memory": info["used_memory_human"],
    }


@router.get("/api/metrics/cache")
async def cache_metrics(request: Request) -> dict[str, Any]:
    """Return size, hits and misses of every cache."""
    return cache_report(request.app.state.services)


def attach(app: FastAPI, services: Services) -> None:
    """Mount the route, and export the same figures."""
    services.resilience.sources.add(lambda: cache_families(services.caches), name="caches")
    app.include_router(router)
