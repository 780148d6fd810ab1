"""Settings, statistics and the registry of circuit breakers."""

import pytest

import resilience
from resilience import (
    CircuitBreaker,
    CircuitBreakerConfig,
    State,
)
from support.breakers import UpstreamError


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("upstream", clock=clock, recovery_jitter=0.0)


def test_a_guard_is_for_one_block(breaker):
    guard = breaker.guard()
    with guard:
        pass
    with pytest.raises(RuntimeError, match="entered once"), guard:
        pass
    with pytest.raises(UpstreamError), breaker.guard():
        raise UpstreamError
    assert breaker.failure_count == 1
    assert breaker.success_count == 1


def test_outcomes_observed_elsewhere_count(breaker):
    breaker.record_success(0.1)
    for _ in range(3):
        breaker.record_failure(UpstreamError(), 0.2)
    assert breaker.state is State.OPEN
    breaker.record_success(0.1)
    assert breaker.get_stats()["totals"]["late"] == 1


def test_statistics_are_ready_for_json(breaker):
    import json

    breaker.call_sync(lambda: 1)
    stats = json.loads(json.dumps(breaker.get_stats()))
    assert {"state", "failure_count", "success_count", "last_failure_time"} <= stats.keys()
    assert stats["totals"]["successes"] == 1
    assert stats["latency"]["p99"] is not None


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("failure_threshold", -1, ValueError),
        ("failure_threshold", "3", TypeError),
        ("failure_threshold", 2.5, TypeError),
        ("failure_rate_threshold", 0.0, ValueError),
        ("failure_rate_threshold", 60, ValueError),
        ("failure_rate_threshold", float("nan"), ValueError),
        ("minimum_calls", 0, ValueError),
        ("slow_call_duration", -1.0, ValueError),
        ("slow_call_rate_threshold", 0.5, ValueError),
        ("monitor_window", 0, ValueError),
        ("monitor_window", None, TypeError),
        ("window_calls", 0, ValueError),
        ("recovery_timeout", float("inf"), ValueError),
        ("recovery_timeout", True, TypeError),
        ("recovery_jitter", 1.0, ValueError),
        ("recovery_backoff", 0.5, ValueError),
        ("max_recovery_timeout", 1.0, ValueError),
        ("success_threshold", 0, ValueError),
        ("half_open_requests", 1, ValueError),
        ("half_open_concurrency", 0, ValueError),
        ("probe_timeout", 0, ValueError),
        ("failure_on", "Exception", TypeError),
        ("ignore", "KeyError", TypeError),
        ("failure_result", 3, TypeError),
        ("clock", 3, TypeError),
    ],
)
def test_a_bad_argument_is_named_at_construction(setting, value, error):
    with pytest.raises(
        error, match="slow_call_duration" if setting == "slow_call_rate_threshold" else setting
    ):
        CircuitBreaker(**{setting: value})


def test_a_rate_threshold_turns_the_default_of_consecutive_failures_off(clock):
    breaker = CircuitBreaker(clock=clock, failure_rate_threshold=0.5)
    for _ in range(9):
        breaker.record_failure(UpstreamError(), 0.0)
    assert breaker.state is State.CLOSED
    breaker.record_failure(UpstreamError(), 0.0)
    assert breaker.state is State.OPEN


def test_config_constants_are_its_defaults():
    assert CircuitBreakerConfig.FAILURE_THRESHOLD == 3
    assert CircuitBreakerConfig.RECOVERY_TIMEOUT == CircuitBreakerConfig().recovery_timeout == 30
    assert CircuitBreakerConfig.HALF_OPEN_REQUESTS == 2
    assert CircuitBreakerConfig.MONITOR_WINDOW == CircuitBreakerConfig().monitor_window == 60
    assert CircuitBreakerConfig.from_mapping({"failure_threshold": 5}).failure_threshold == 5
    with pytest.raises(ValueError, match="failure_treshold"):
        CircuitBreakerConfig.from_mapping({"failure_treshold": 5})


def test_the_registry_makes_once_and_refuses_another_configuration():
    first = resilience.get_circuit_breaker("registry-test", failure_threshold=5)
    assert resilience.get_circuit_breaker("registry-test") is first
    assert resilience.get_circuit_breaker("registry-test", failure_threshold=5) is first
    with pytest.raises(ValueError, match="another configuration"):
        resilience.get_circuit_breaker("registry-test", failure_threshold=6)
    assert resilience.get_all_circuit_breakers()["registry-test"] is first
    resilience.remove_circuit_breaker("registry-test")
    assert "registry-test" not in resilience.get_all_circuit_breakers()
    with pytest.raises(KeyError):
        resilience.remove_circuit_breaker("registry-test")


def test_breakers_made_directly_are_listed_while_they_live():
    breaker = CircuitBreaker("short-lived")
    newer = CircuitBreaker("short-lived")
    assert resilience.get_all_circuit_breakers()["short-lived"] is newer
    del breaker, newer
    assert "short-lived" not in resilience.get_all_circuit_breakers()
