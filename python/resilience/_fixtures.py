"""Fixtures for pytest, offered by `resilience.testing`."""

from collections.abc import Iterator

import pytest

from resilience import config
from resilience._core import ManualClock
from resilience._disabled import disabled
from resilience._registry import get_all_circuit_breakers, remove_circuit_breaker


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands still until it is advanced."""
    return ManualClock()


@pytest.fixture
def resilience_disabled() -> Iterator[None]:
    """The test calls its functions without policies and caches, as in ``disabled()``."""
    with disabled():
        yield


@pytest.fixture
def resilience_registry() -> Iterator[None]:
    """The test begins and ends without configuration, and leaves no circuit breaker listed that it made."""
    before = set(get_all_circuit_breakers())
    config.configure({})
    yield
    config.configure({})
    for name in get_all_circuit_breakers().keys() - before:
        remove_circuit_breaker(name)
