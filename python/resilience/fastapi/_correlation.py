"""The correlation id: one short name for a request, in its response, its logs and its calls to others.

Which ids are accepted and how one is made is native (`correlation_id.hpp`), and so are the names it goes by.
"""

from contextvars import ContextVar

from resilience import _core

HEADER = _core.CORRELATION_HEADER
IN_SCOPE = _core.CORRELATION_IN_SCOPE  # the key of a connection's scope

current: ContextVar[str | None] = ContextVar("resilience_correlation_id", default=None)


def correlation_id() -> str | None:
    """Return the correlation id of the request being served, or None outside of one."""
    return current.get()
