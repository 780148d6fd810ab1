"""Of breakers that share a name only the newest was known: when it went, the others were not listed either."""

import gc

import pytest

from resilience import (
    CircuitBreaker,
    CircuitBreakerConfig,
    KeyedCircuitBreaker,
    State,
    configure,
    get_all_circuit_breakers,
    get_circuit_breaker,
    remove_circuit_breaker,
)

pytestmark = pytest.mark.usefixtures("clean_configuration")


def test_an_older_one_is_listed_again_once_the_newest_is_gone():
    older = CircuitBreaker("shared name")
    newest = CircuitBreaker("shared name")
    assert get_all_circuit_breakers()["shared name"] is newest
    del newest
    gc.collect()
    assert get_all_circuit_breakers()["shared name"] is older


def test_all_of_them_are_configured():
    breakers = [CircuitBreaker("shared name") for _ in range(3)]
    configure({"circuit_breakers": {"shared name": {"failure_threshold": 7}}})
    assert [breaker.config.failure_threshold for breaker in breakers] == [7, 7, 7]


def test_all_of_them_are_removed():
    breakers = [CircuitBreaker("shared name") for _ in range(2)]
    remove_circuit_breaker("shared name")
    assert "shared name" not in get_all_circuit_breakers()
    assert [breaker.state for breaker in breakers] == [State.CLOSED] * 2
    with pytest.raises(KeyError):
        remove_circuit_breaker("shared name")


def test_one_made_by_name_takes_a_clock(clock):
    breaker = get_circuit_breaker("on a clock", clock=clock, failure_threshold=1, recovery_jitter=0.0)
    breaker.record_failure(ValueError(), 0.0)
    assert breaker.opened_until == clock.now() + 30.0
    assert get_circuit_breaker("on a clock", clock=clock, failure_threshold=1, recovery_jitter=0.0) is breaker


def test_keys_take_the_clock_of_their_configuration(clock):
    keyed = KeyedCircuitBreaker(CircuitBreakerConfig(failure_threshold=1, clock=clock), idle_ttl=10.0)
    keyed.for_key("a")
    clock.advance(11.0)
    assert len(keyed) == 0


@pytest.mark.parametrize("config", [1, {"failure_threshold": 1}, "x"])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(TypeError, match="config"):
        get_circuit_breaker("never made", config)
    assert "never made" not in get_all_circuit_breakers()
