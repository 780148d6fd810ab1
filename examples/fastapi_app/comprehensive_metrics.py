"""`GET /api/metrics/comprehensive`: every component at a glance, and the score with its evidence."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from cache_metrics import cache_report
from resilience import protected_functions
from resilience.fastapi import Summary
from resilience.observability import batcher_families, gauge
from score import score
from services import Services

router = APIRouter(tags=["metrics"])


def pool_sizes(services: Services) -> dict[str, int]:
    """Return the present size of each pool."""
    return {"http": services.connections.config.http_pool_size, **services.pools}


def components(services: Services) -> dict[str, Any]:
    """Return what each component reports; one that isn't attached says so instead of inventing figures."""
    functions = protected_functions()
    gain = services.pooling.least
    return {
        "connection_pooling": {
            "status": "active" if services.connections.config.enable_connection_reuse else "inactive",
            "improvement": None if gain is None else f"{100 * gain:.1f}%",
            "improvement_by_scheme": {
                scheme: f"{100 * value:.1f}%" for scheme, value in services.pooling.improvement.items()
            },
            "reason": services.pooling.reason,
            "pools": {"redis": None, **pool_sizes(services)},
            "no_redis": None if "redis" in services.pools else "REDIS_URL names none",
            "connections": services.read("connections", services.connections.stats),
            "databases": {
                name: services.read(f"database {name}", figures)
                for name, figures in services.databases.items()
            },
        },
        "circuit_breakers": {
            "status": "inactive" if services.dispatcher is None else "active",
            "protected_functions": len(functions),
            "total_files": len({function.file for function in functions}),
            "test_endpoint": "/api/test/circuit-breaker/status",
        },
        "cache_monitoring": cache_report(services),
        "request_batching": {
            name: services.read(name, metrics) for name, metrics in services.batchers.items()
        },
        "predictive_allocation": (
            {"optimization_status": "inactive"}
            if services.allocator is None
            else services.read("allocator", services.allocator)
        ),
    }


def performance(minute: Summary) -> dict[str, Any]:
    """Return the last minute's figures; null where nothing was measured."""
    success = minute.success_rate
    return {
        "response_time_ms": None if minute.mean is None else round(minute.mean * 1e3, 3),
        "throughput_rps": round(minute.rps, 3),
        "success_rate": None if success is None else f"{100 * success:.4g}%",
    }


@router.get("/api/metrics/comprehensive")
async def comprehensive_metrics(request: Request) -> dict[str, Any]:
    """Return components, score and performance, all measured by this process."""
    services: Services = request.app.state.services
    total, details = score(services)
    return {
        "timestamp": datetime.now(UTC).isoformat(),
        "architecture_score": total,
        "score_details": details,
        "components": components(services),
        "performance": performance(services.resilience.metrics.last_minute()),
    }


def attach(app: FastAPI, services: Services) -> None:
    """Mount the route, and export batchers and pools."""
    sources = services.resilience.sources
    sources.add(lambda: batcher_families(services.batchers), name="batchers")
    sources.add(
        lambda: [gauge("resilience_pool_size", "Connections a pool may hold", pool_sizes(services))],
        name="pools",
    )
    app.include_router(router)
