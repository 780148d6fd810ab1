"""The correlation id: one short name for a request, in its response, its logs and its calls to others."""

import os
import re
from contextvars import ContextVar

HEADER = b"x-correlation-id"

# What may be repeated into headers and logs without escaping; anything else is replaced, never repaired.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch

current: ContextVar[str | None] = ContextVar("resilience_correlation_id", default=None)


def correlation_id() -> str | None:
    """Return the correlation id of the request being served, or None outside of one."""
    return current.get()


def choose(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the id the client sent when it is well formed, else a new one.

    Args:
        headers: A request's headers as ASGI gives them, names in lower case.
    """
    for name, value in headers:
        if name == HEADER and _WELL_FORMED(value):
            return value
    return os.urandom(16).hex().encode("ascii")
