"""Small types that several modules share."""

import enum
from typing import Any, Final


class State(enum.StrEnum):
    """States of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


STATES: Final = tuple(State)  # in the order of the core's enum


class _Missing(enum.Enum):
    MISSING = enum.auto()

    def __repr__(self) -> str:
        return "<none>"


MISSING: Final = _Missing.MISSING  # where None is a value


def type_name(value: Any) -> str:
    """Name of a value's type, for messages."""
    return type(value).__name__
