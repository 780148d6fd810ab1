"""Fixtures that several test modules share."""

import pytest

from resilience import config, get_all_circuit_breakers, remove_circuit_breaker
from resilience.testing import ManualClock


@pytest.fixture
def clean_configuration():
    """No configuration before and after, and no breaker that the test made by name."""
    before = set(get_all_circuit_breakers())
    config.configure({})
    yield
    config.configure({})
    config._source = None
    for name in set(get_all_circuit_breakers()) - before:
        remove_circuit_breaker(name)


@pytest.fixture
def clock():
    """A clock that stands still until it is advanced."""
    return ManualClock()
