"""Circuit breakers by name."""

from typing import Any

from resilience._circuit_breaker import CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._listing import lock, present, unlist
from resilience._types import type_name

_owned: dict[str, CircuitBreaker] = {}  # made by name, kept until removed


def get_circuit_breaker(
    name: str, config: CircuitBreakerConfig | None = None, **overrides: Any
) -> CircuitBreaker:
    """Return the breaker of that name, making it on first use.

    Args:
        name: its name.
        config: its settings; defaults when ``None``.
        **overrides: single settings that differ from `config`; see :class:`CircuitBreakerConfig`.

    Raises:
        ValueError: when it exists with another configuration, or a setting is out of range.
        TypeError: for a setting of the wrong type.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type_name(name)}")
    if config is not None and not isinstance(config, CircuitBreakerConfig):
        raise TypeError(f"config must be a CircuitBreakerConfig or None, got {type_name(config)}")
    wanted = config if not overrides else (config or CircuitBreakerConfig()).replace(**overrides)
    with lock:
        existing = _owned.get(name)
        if existing is None:
            breaker = CircuitBreaker.from_config(wanted or CircuitBreakerConfig(), name)
            _owned[name] = breaker
            return breaker
    if wanted is not None and wanted != existing.coded:
        raise ValueError(f"circuit breaker {name!r} exists with another configuration: {existing.coded}")
    return existing


def get_all_circuit_breakers() -> dict[str, CircuitBreaker]:
    """Return the breakers by name: those made by name, and those made directly while they live.

    Of several that have one name, the newest is listed.
    """
    return {breaker.name: breaker for breaker in present()}


def remove_circuit_breaker(name: str) -> None:
    """Forget the breakers of that name; functions that hold one keep it.

    Raises:
        KeyError: when there is none.
    """
    with lock:
        was_there = unlist(name)
        _owned.pop(name, None)
    if not was_there:
        raise KeyError(name)
