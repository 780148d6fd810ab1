"""The correlation id: one short name for a request, in its response, its logs and its calls to others.

Which ids are accepted and how one is made is native: `correlation_id.hpp`.
"""

from contextvars import ContextVar

HEADER = b"x-correlation-id"
# Where a connection's scope keeps it, for applications that are mounted; request_pass.cpp has it, too.
IN_SCOPE = "resilience.correlation_id"

current: ContextVar[str | None] = ContextVar("resilience_correlation_id", default=None)


def correlation_id() -> str | None:
    """Return the correlation id of the request being served, or None outside of one."""
    return current.get()
