"""A live page of breakers, caches, batchers, allocator, pools and latencies; needs the extra `dashboard`.

Mounted into an application it shows that application; ``resilience serve-dashboard`` shows a running server from a
process of its own. It only looks: nothing on it changes anything.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilience.dashboard._app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """Import the page's application, and with it Starlette, when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from resilience.connections._optional import require

    require("starlette", "dashboard")
    from resilience.dashboard._app import create_app

    return create_app
