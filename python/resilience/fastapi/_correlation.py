"""The correlation id: one short name for a request, in its response, its logs and its calls to others."""

import re
from contextvars import ContextVar
from random import getrandbits  # an id is a name, not a secret; seeded anew in a forked worker

HEADER = b"x-correlation-id"

# What may be repeated into headers and logs without escaping; anything else is replaced, never repaired.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch

current: ContextVar[str | None] = ContextVar("resilience_correlation_id", default=None)


def correlation_id() -> str | None:
    """Return the correlation id of the request being served, or None outside of one."""
    return current.get()


def accepted(value: bytes) -> bytes | None:
    """Return a header's value when it is a well-formed id, else None."""
    return value if _WELL_FORMED(value) else None


def new() -> bytes:
    """Return an id of 128 random bits."""
    return b"%032x" % getrandbits(128)
