"""Connections that never leak, measured, resizable and guarded.

Client libraries are optional: what needs one imports it on first use, with an error that names the extra.
"""

import importlib
from typing import TYPE_CHECKING, Any

from resilience.connections._config import ConnectionConfig
from resilience.connections._database import CommitUncertainError, DatabasePool
from resilience.connections._guard import Target, UpstreamGuard, UpstreamStatusError, by_host, by_route
from resilience.connections._improvement import Improvement
from resilience.connections._manager import ConnectionManager

if TYPE_CHECKING:
    from resilience.connections.aiohttp_transport import AiohttpGuard
    from resilience.connections.httpx2_transport import GuardedHttpx2Transport
    from resilience.connections.httpx_transport import GuardedHttpxTransport

_OPTIONAL = {
    "AiohttpGuard": ("aiohttp_transport", "aiohttp"),
    "GuardedHttpxTransport": ("httpx_transport", "httpx"),
    "GuardedHttpx2Transport": ("httpx2_transport", "httpx2"),
}

__all__ = [
    "AiohttpGuard",
    "CommitUncertainError",
    "ConnectionConfig",
    "ConnectionManager",
    "DatabasePool",
    "GuardedHttpx2Transport",
    "GuardedHttpxTransport",
    "Improvement",
    "Target",
    "UpstreamGuard",
    "UpstreamStatusError",
    "by_host",
    "by_route",
]


def __getattr__(name: str) -> Any:
    """Import what needs a client library, when it is asked for."""
    if name not in _OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from resilience.connections._optional import require

    module, library = _OPTIONAL[name]
    require(library, "http")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
