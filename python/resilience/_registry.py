"""All circuit breakers of the process by name."""

import contextlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._fork import fork_safe_lock
from resilience.errors import ConfigError

if TYPE_CHECKING:
    from resilience._circuit_breaker import CircuitBreaker

Overlay = Callable[[str, CircuitBreakerConfig], CircuitBreakerConfig]

_lock = fork_safe_lock()
_owned: "dict[str, CircuitBreaker]" = {}  # made by name, kept until removed
_listed: "weakref.WeakValueDictionary[str, CircuitBreaker]" = weakref.WeakValueDictionary()
_overlay: Overlay | None = None  # what a configuration says, over what code asks for


def register(breaker: "CircuitBreaker") -> None:
    """List a breaker while it lives; the newest of a name is the one that is listed."""
    with _lock:
        _listed[breaker.name] = breaker


def get_circuit_breaker(
    name: str, config: CircuitBreakerConfig | None = None, **overrides: Any
) -> "CircuitBreaker":
    """Return the breaker of that name, making it on first use.

    Args:
        name: its name.
        config: its settings; defaults when ``None``.
        **overrides: single settings that differ from `config`; see :class:`CircuitBreakerConfig`.

    Raises:
        ValueError: when it exists with another configuration, or a setting is out of range.
        TypeError: for a setting of the wrong type.
    """
    from resilience._circuit_breaker import CircuitBreaker

    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    wanted = config if not overrides else (config or CircuitBreakerConfig()).replace(**overrides)
    with _lock:
        existing = _owned.get(name)
        if existing is None:
            breaker = CircuitBreaker.from_config(wanted or CircuitBreakerConfig(), name)
            _owned[name] = breaker
            return breaker
    if wanted is not None and wanted != existing.coded:
        raise ValueError(f"circuit breaker {name!r} exists with another configuration: {existing.coded}")
    return existing


def get_all_circuit_breakers() -> "dict[str, CircuitBreaker]":
    """Return the breakers by name: those made by name, and those made directly while they live."""
    with _lock:
        return {**_owned, **dict(_listed)}


def remove_circuit_breaker(name: str) -> None:
    """Forget the breaker of that name; functions that hold it keep it.

    Raises:
        KeyError: when there is none.
    """
    with _lock:
        found = _owned.pop(name, None)
        listed = _listed.pop(name, None)
    if found is None and listed is None:
        raise KeyError(name)


def configured(name: str, coded: CircuitBreakerConfig) -> CircuitBreakerConfig:
    """Return the settings of a new breaker for which code asks `coded`.

    Raises:
        ConfigError: when they don't go together with those of a configuration.
    """
    return coded if _overlay is None else _overlay(name, coded)


def prepare_overlay(overlay: Overlay) -> Callable[[], None]:
    """Find out what a configuration makes of the breakers that exist; the result puts it into effect.

    Raises:
        ConfigError: when its settings don't go together with those that code asked for; nothing has changed.
    """
    present = get_all_circuit_breakers().values()
    changes = [(breaker, overlay(breaker.name, breaker.coded)) for breaker in present]

    def commit() -> None:
        global _overlay  # noqa: PLW0603
        with _lock:
            _overlay = overlay
            newcomers = [each for each in get_all_circuit_breakers().values() if each not in present]
        for breaker, config in changes:
            breaker._reconfigure(config)  # noqa: SLF001
        for breaker in newcomers:  # made by another thread meanwhile
            with contextlib.suppress(ConfigError):  # then it stays as code asked for
                breaker._reconfigure(overlay(breaker.name, breaker.coded))  # noqa: SLF001

    return commit
