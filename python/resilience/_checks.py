"""Checks of arguments that several policies share: each error names the argument and the allowed range."""

import math
from collections.abc import Callable

from resilience import _core
from resilience._guard import Kind, kind_of
from resilience._types import type_name

_YEAR = 31_536_000.0
_SHORTEST_PROBE, _LONGEST_PROBE = 0.001, 3600  # seconds
_MOST_SUCCESSES = 1000

MOST_WHOLE = 2**63 - 1  # what the machines count with

Errors = type[BaseException] | tuple[type[BaseException], ...]


def integer(name: str, value: object) -> int:
    """Any integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return value


def whole(name: str, value: object) -> int:
    """An integer; its range is checked by the machine that takes it, which no number is too large to reach."""
    return max(-MOST_WHOLE, min(integer(name, value), MOST_WHOLE))


def as_float(value: float) -> float:
    """A number as a float; a whole one beyond all floats is infinite, and so outside of every range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number(name: str, value: object) -> float:
    """A real number; its range is checked by the machine that takes it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return as_float(value)


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """A duration in seconds, > 0 (or >= 0) and at most a year."""
    given = number(name, value)
    if not (0.0 <= given <= _YEAR) or (given == 0.0 and not zero):
        low = "[" if zero else "("
        raise ValueError(f"{name} must be a number of seconds in {low}0, 31536000], got {value!r}")
    return given


def seconds_or_none(name: str, value: object) -> float | None:
    """As `seconds`, or ``None``."""
    return None if value is None else seconds(name, value)


def text(name: str, value: object) -> str:
    """A string; the machine that takes it knows which."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    return value


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def clock_or_none(clock: object) -> _core.Clock | None:
    """A clock; ``None`` stands for the system's."""
    if clock is not None and not isinstance(clock, _core.Clock):
        raise TypeError(f"clock must be a Clock or None, got {type_name(clock)}")
    return clock


def label_or_none(name: str, value: object) -> str | None:
    """What people and metrics are shown, so that it must be possible to write it; or ``None``."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, got {type_name(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text that UTF-8 can encode, got {value!r}") from None
    return value


def holds(predicate: Callable[[BaseException], object], error: BaseException) -> bool:
    """What a predicate says of an error; when it fails itself, the error it was to judge is its context."""
    try:
        return bool(predicate(error))
    except BaseException as mistake:
        if mistake is not error:
            mistake.__context__ = error
        raise


def plain_function(name: str, value: object) -> None:
    """Raise ``TypeError`` for what has to be awaited where it is just called: what it returns is always true."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {type_name(value)}")
    if kind_of(value) is not Kind.PLAIN:
        raise TypeError(f"{name} must be a plain function: it isn't awaited, as {value!r} would have to be")


def plain_function_or_none(name: str, value: object) -> None:
    """The same, where ``None`` stands for none."""
    if value is not None:
        plain_function(name, value)


def errors(name: str, value: object) -> Errors | Callable[[BaseException], bool]:
    """Exception classes or a predicate of an exception."""
    if isinstance(value, type) and issubclass(value, BaseException):
        return value
    if (
        isinstance(value, tuple)
        and value
        and all(isinstance(v, type) and issubclass(v, BaseException) for v in value)
    ):
        return value
    if callable(value) and not isinstance(value, type):
        plain_function(name, value)
        return value
    raise TypeError(f"{name} must be an exception class, a tuple of them or a predicate, got {value!r}")


def check_attempts(interval: float, timeout: float, successes: int) -> None:
    """Raise ``ValueError`` for what no probe or check can be made with."""
    for name, value in (("interval", interval), ("timeout", timeout)):
        if not _SHORTEST_PROBE <= value <= _LONGEST_PROBE:
            raise ValueError(f"{name} must be a number of seconds in [0.001, 3600], got {value!r}")
    if not 1 <= successes <= _MOST_SUCCESSES:
        raise ValueError(f"successes must be an integer in [1, 1000], got {successes!r}")
