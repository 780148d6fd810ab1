"""What a level in Redis is given, checked when it is made."""

from typing import Any

from resilience._circuit_breaker import CircuitBreaker
from resilience._types import type_name

_LONGEST_TIMEOUT = 60.0  # seconds of one operation
_SCHEMES = ("redis://", "rediss://", "unix://")


def check_redis(url: Any, prefix: Any, timeout: Any, breaker: Any, invalidation: Any) -> None:
    _check_names(url, prefix)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, got {type_name(timeout)}")
    if not 0.0 < timeout <= _LONGEST_TIMEOUT:
        raise ValueError(f"timeout must be a number of seconds in (0, {_LONGEST_TIMEOUT}], got {timeout!r}")
    if breaker is not None and not isinstance(breaker, CircuitBreaker):
        raise TypeError(f"breaker must be a CircuitBreaker or None, got {type_name(breaker)}")
    if invalidation not in {"tracking", "pubsub"}:
        raise ValueError(f'invalidation must be "tracking" or "pubsub", got {invalidation!r}')


def _check_names(url: Any, prefix: Any) -> None:
    for name, value in (("url", url), ("prefix", prefix)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, got {type_name(value)}")
    if not url.startswith(_SCHEMES):  # it is not shown: it may hold a password
        raise ValueError(f"url must begin with {', '.join(_SCHEMES)}")
    if not prefix or "{" in prefix or "}" in prefix:
        raise ValueError(f"prefix must be a string without braces, and not empty, got {prefix!r}")
