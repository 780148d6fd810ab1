"""All circuit breakers of the process by name."""

import contextlib
import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._fork import fork_safe_lock
from resilience._types import type_name
from resilience.errors import ConfigError

if TYPE_CHECKING:
    from resilience._circuit_breaker import CircuitBreaker

Overlay = Callable[[str, CircuitBreakerConfig], CircuitBreakerConfig]

_lock = fork_safe_lock()
_owned: "dict[str, CircuitBreaker]" = {}  # made by name, kept until removed
_serials = itertools.count()
_listed: "weakref.WeakValueDictionary[int, CircuitBreaker]" = weakref.WeakValueDictionary()  # oldest first
_overlay: Overlay | None = None  # what a configuration says, over what code asks for


def register(breaker: "CircuitBreaker") -> None:
    """List a breaker while it lives."""
    with _lock:
        _listed[next(_serials)] = breaker


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
        raise TypeError(f"name must be a string, got {type_name(name)}")
    if config is not None and not isinstance(config, CircuitBreakerConfig):
        raise TypeError(f"config must be a CircuitBreakerConfig or None, got {type_name(config)}")
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
    """Return the breakers by name: those made by name, and those made directly while they live.

    Of several that have one name, the newest is listed.
    """
    return {breaker.name: breaker for breaker in _present()}


def _present() -> "list[CircuitBreaker]":
    """Every breaker, oldest first."""
    with _lock:
        return list(_listed.values())


def remove_circuit_breaker(name: str) -> None:
    """Forget the breakers of that name; functions that hold one keep it.

    Raises:
        KeyError: when there is none.
    """
    with _lock:
        found = [serial for serial, breaker in _listed.items() if breaker.name == name]
        for serial in found:
            _listed.pop(serial, None)
        _owned.pop(name, None)
    if not found:
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
    present = _present()
    known = set(map(id, present))
    changes = [(breaker, overlay(breaker.name, breaker.coded)) for breaker in present]

    def commit() -> None:
        global _overlay  # noqa: PLW0603
        with _lock:
            _overlay = overlay
            newcomers = [each for each in _present() if id(each) not in known]
        for breaker, config in changes:
            breaker._reconfigure(config)  # noqa: SLF001
        for breaker in newcomers:  # made by another thread meanwhile
            with contextlib.suppress(ConfigError):  # then it stays as code asked for
                breaker._reconfigure(overlay(breaker.name, breaker.coded))  # noqa: SLF001

    return commit
