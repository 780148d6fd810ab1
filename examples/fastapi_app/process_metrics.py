"""`GET /api/metrics`: what this process and its machine are doing, measured when asked."""

import os
import resource
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from services import Services

router = APIRouter(tags=["metrics"])


def system_figures() -> dict[str, Any]:
    """Return the machine's figures; what its kernel does not tell is None."""
    memory = _memory_info()
    return {
        "cpu_count": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "memory_total_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
    }


def process_figures(uptime: float) -> dict[str, Any]:
    """Return this process's figures."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "uptime_seconds": round(uptime, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "cpu_percent_since_start": round(100 * time.process_time() / uptime, 2) if uptime > 0 else None,
        "memory_rss_bytes": _resident_bytes(),
        "threads": threading.active_count(),
        "open_files": _open_files(),
    }


def _memory_info() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def _resident_bytes() -> int | None:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


def _open_files() -> int | None:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


@router.get("/api/metrics")
async def metrics(request: Request) -> dict[str, Any]:
    """Return the figures of system, process, requests and every part."""
    services: Services = request.app.state.services
    counted = services.resilience.metrics
    minute = counted.last_minute()
    return {
        "status": "ok",
        "timestamp": datetime.now(UTC).isoformat(),
        "metrics": {
            "system": system_figures(),
            "process": process_figures(counted.uptime),
            "requests": {
                "total": counted.total,
                "active": counted.active,
                "websockets": counted.websockets,
                "last_minute": {
                    "requests": minute.requests,
                    "errors": minute.errors,
                    "rps": round(minute.rps, 3),
                    "mean_ms": _milliseconds(minute.mean),
                    "p50_ms": _milliseconds(minute.p50),
                    "p99_ms": _milliseconds(minute.p99),
                },
            },
            **{name: services.read(name, figures) for name, figures in services.figures.items()},
        },
    }


def attach(app: FastAPI, _services: Services) -> None:
    """Mount the route."""
    app.include_router(router)
