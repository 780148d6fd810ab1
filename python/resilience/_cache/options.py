"""The settings of the ``cache`` decorator, checked once."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from resilience._checks import as_float, flag, plain_function_or_none
from resilience._types import type_name


@dataclass(frozen=True, slots=True)
class Options:
    """How one function's results are kept; the arguments of :func:`resilience.cache`."""

    ttl: float | None
    ttl_of: Callable[[Any], float | None] | None
    stale_while_revalidate: float
    stale_if_error: float
    negative_ttl: float
    jitter: float
    cache_none: bool
    condition: Callable[[Any], bool] | None
    keep_running: bool
    key: Callable[..., Any] | None
    ignore: Iterable[str]
    tags: Any

    def __post_init__(self) -> None:
        if self.ttl is not None:
            _number("ttl", self.ttl, "a number of seconds > 0, or None", low=0.0, strict=True)
        for name in ("stale_while_revalidate", "stale_if_error", "negative_ttl"):
            _number(name, getattr(self, name), "a number of seconds >= 0", low=0.0)
        _number("jitter", self.jitter, "a number in [0, 1)", low=0.0, below=1.0)
        for name in ("condition", "key", "ttl_of"):
            plain_function_or_none(name, getattr(self, name))
        flag("cache_none", self.cache_none)
        flag("keep_running", self.keep_running)
        _iterable("ignore", self.ignore, "an iterable of names")
        if not callable(self.tags):
            _iterable("tags", self.tags, "an iterable of tags or a function")

    @property
    def grace(self) -> float:
        """Seconds that an expired value is kept to be served stale."""
        return max(self.stale_while_revalidate, self.stale_if_error)

    def keeps(self, value: Any) -> bool:
        """Tell whether a result is to be stored."""
        if value is None and not self.cache_none:
            return False
        return self.condition is None or bool(self.condition(value))

    def ttl_for(self, value: Any) -> float | None:
        """Return the seconds that a result lives, spread by the jitter; ``None`` for ever."""
        ttl = self.ttl if self.ttl_of is None else self.ttl_of(value)
        ttl = self.ttl if ttl is None else ttl
        if ttl is None or self.jitter == 0.0:
            return ttl
        return ttl * (1.0 - self.jitter * random.random())  # noqa: S311 - spreads expiry, guards nothing


def _number(
    name: str, value: Any, allowed: str, *, low: float, below: float = float("inf"), strict: bool = False
) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be {allowed}, got {type_name(value)}")
    if not (low < value if strict else low <= value) or as_float(value) >= below:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _iterable(name: str, value: Any, allowed: str) -> None:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
