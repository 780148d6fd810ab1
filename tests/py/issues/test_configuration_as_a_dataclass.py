"""The settings' dataclass had a native field, which ``asdict``, pickle and copies could do nothing with."""

import copy
import dataclasses
import inspect
import pickle

import pytest

from resilience import CircuitBreaker, CircuitBreakerConfig


def test_its_fields_are_the_breakers_parameters():
    fields = {field.name for field in dataclasses.fields(CircuitBreakerConfig)}
    assert fields == set(inspect.signature(CircuitBreaker).parameters) - {"name"}


def test_it_becomes_a_dict_and_comes_back():
    config = CircuitBreakerConfig(failure_threshold=7, recovery_timeout=5.0)
    assert CircuitBreakerConfig.from_mapping(dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))]
)
def test_it_pickles_and_copies(twin):
    config = CircuitBreakerConfig(failure_threshold=2, ignore=(KeyError,))
    again = twin(config)
    assert again == config
    assert hash(again) == hash(config)
    breaker = CircuitBreaker.from_config(again)
    for _ in range(2):
        breaker.record_failure(ValueError(), 0.0)
    assert breaker.state == "open"


@pytest.mark.parametrize(
    "setting", ["failure_threshold", "minimum_calls", "success_threshold", "window_calls"]
)
def test_a_huge_number_is_out_of_range(setting):
    with pytest.raises(ValueError, match=setting):
        CircuitBreaker(**{setting: 10**30})


def test_what_is_no_clock_is_refused():
    with pytest.raises(TypeError, match="clock"):
        CircuitBreakerConfig(clock=1.0)


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf"), "1", None, True])
def test_outcomes_seen_elsewhere_took_some_time(duration):
    breaker = CircuitBreaker()
    with pytest.raises((TypeError, ValueError), match="duration"):
        breaker.record_success(duration)
    with pytest.raises((TypeError, ValueError), match="duration"):
        breaker.record_failure(ValueError(), duration)
    with pytest.raises(TypeError, match="exc"):
        breaker.record_failure("error", 1.0)
    assert (breaker.success_count, breaker.failure_count) == (0, 0)


@pytest.mark.parametrize("duration", [10**400, float("inf"), 1e300], ids=["whole", "inf", "1e300"])
def test_a_huge_retry_after_is_clamped(clock, duration):
    breaker = CircuitBreaker(clock=clock)
    breaker.trip(duration)
    assert breaker.opened_until == pytest.approx(300.0)


@pytest.mark.parametrize("ttl", ["1", 0, -1.0, float("nan"), True])
def test_a_time_to_live_is_checked(ttl):
    with pytest.raises((TypeError, ValueError), match="ttl"):
        CircuitBreaker().force_open(ttl=ttl)


def test_an_async_fallback_cannot_answer_a_plain_call():
    async def answer():
        return 1

    breaker = CircuitBreaker(fallback=answer)
    breaker.force_open()
    with pytest.raises(TypeError, match="async fallback"):
        breaker.call_sync(int)
