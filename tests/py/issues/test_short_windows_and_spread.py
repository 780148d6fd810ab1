"""A window shorter than the default of minimum_calls was refused; breakers made one after another opened alike."""

import pytest

from resilience import CircuitBreaker, CircuitBreakerConfig
from resilience.testing import ManualClock


def test_a_window_of_few_calls_needs_no_more_than_it_holds(clock):
    breaker = CircuitBreaker(clock=clock, window_calls=4, failure_rate_threshold=0.5)
    for _ in range(3):
        breaker.record_failure(ValueError(), 0.0)
    assert breaker.state == "closed"
    breaker.record_success(0.0)
    assert breaker.state == "open"


def test_what_was_asked_for_is_still_checked():
    with pytest.raises(ValueError, match="minimum_calls"):
        CircuitBreakerConfig(window_calls=4, minimum_calls=5, failure_rate_threshold=0.5)


def test_breakers_that_open_at_one_time_come_back_at_many():
    until = []
    for _ in range(200):
        breaker = CircuitBreaker(clock=ManualClock(), failure_threshold=1)
        breaker.record_failure(ValueError(), 0.0)
        until.append(breaker.opened_until)
    assert len(set(until)) > 190
    assert 27.0 <= min(until) < 27.5
    assert 29.5 < max(until) <= 30.0
