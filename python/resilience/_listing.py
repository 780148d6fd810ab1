"""Every circuit breaker of the process while it lives, and what a configuration makes of it."""

import contextlib
import itertools
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._fork import fork_safe_lock
from resilience.errors import ConfigError

Overlay = Callable[[str, CircuitBreakerConfig], CircuitBreakerConfig]


class Listed(Protocol):
    """A circuit breaker, as far as this list knows it."""

    @property
    def name(self) -> str:
        """Under which it is found."""

    @property
    def coded(self) -> CircuitBreakerConfig:
        """What code asked for."""

    def _reconfigure(self, config: CircuitBreakerConfig) -> None: ...


lock = fork_safe_lock()
_serials = itertools.count()
_listed: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()  # oldest first
_overlay: Overlay | None = None  # what a configuration says, over what code asks for


def register(breaker: Listed) -> None:
    """List a breaker while it lives."""
    with lock:
        _listed[next(_serials)] = breaker


def present() -> list[Any]:
    """Every breaker, oldest first."""
    with lock:
        return list(_listed.values())


def unlist(name: str) -> bool:
    """Forget the breakers of that name; whether there were any."""
    with lock:
        found = [serial for serial, breaker in _listed.items() if breaker.name == name]
        for serial in found:
            _listed.pop(serial, None)
    return bool(found)


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
    found = present()
    known = set(map(id, found))
    changes = [(breaker, overlay(breaker.name, breaker.coded)) for breaker in found]

    def commit() -> None:
        global _overlay  # noqa: PLW0603
        with lock:
            _overlay = overlay
            newcomers = [each for each in present() if id(each) not in known]
        for breaker, config in changes:
            breaker._reconfigure(config)  # noqa: SLF001
        for breaker in newcomers:  # made by another thread meanwhile
            with contextlib.suppress(ConfigError):  # then it stays as code asked for
                breaker._reconfigure(overlay(breaker.name, breaker.coded))  # noqa: SLF001

    return commit
