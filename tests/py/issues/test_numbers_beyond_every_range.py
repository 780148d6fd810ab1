"""Whole numbers that no machine word or float holds were an OverflowError, or refused in words of the binding."""

import asyncio

import pytest

from resilience import (
    Cache,
    CircuitBreaker,
    KeyedCircuitBreaker,
    PredictiveResourceAllocator,
    RequestBatcher,
    RetryBudget,
    adaptive_limit,
    bulkhead,
    cache,
    deadline,
    hedge,
    priority,
    rate_limit,
    retry,
    timeout,
)
from resilience.allocator import Forecaster

HUGE = 10**400


def _bulkhead(**given):
    return bulkhead(**{"max_concurrent": 1, **given})


def _cached(**given):
    return cache(**given)(lambda: None)


def _forecaster(**given):
    return Forecaster(**{"step": 60.0, "lead_time": 900.0, **given})


def _hedge(**given):
    return hedge(**{"delay": 1.0, **given})


def _rate_limit(**given):
    return rate_limit(**{"rate": 1.0, **given})


def _retry(**given):
    return retry(on=ValueError, **given)


@pytest.mark.parametrize("value", [HUGE, -HUGE])
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (Cache, "max_entries"),
        (Cache, "ttl"),
        (_cached, "stale_while_revalidate"),
        (_cached, "negative_ttl"),
        (CircuitBreaker, "failure_rate_threshold"),
        (CircuitBreaker, "monitor_window"),
        (CircuitBreaker, "recovery_timeout"),
        (CircuitBreaker, "probe_timeout"),
        (CircuitBreaker, "window_calls"),
        (PredictiveResourceAllocator, "history_days"),
        (RequestBatcher, "batch_timeout_ms"),
        (RetryBudget, "ratio"),
        (_bulkhead, "max_wait"),
        (_forecaster, "lead_time"),
        (_hedge, "delay"),
        (_hedge, "max_hedges"),
        (_rate_limit, "rate"),
        (_rate_limit, "burst"),
        (_retry, "wait_max"),
        (adaptive_limit, "initial"),
        (deadline, "seconds"),
        (timeout, "seconds"),
    ],
)
def test_a_number_beyond_all_others_is_out_of_range(make, argument, value):
    with pytest.raises(ValueError, match=argument):
        make(**{argument: value})


def test_a_number_beyond_all_others_is_as_good_as_none_where_nothing_bounds_it():
    assert _bulkhead(max_concurrent=2**70).max_concurrent > 10**18
    with pytest.raises(ValueError, match="max_concurrent"):
        _bulkhead(max_concurrent=-(2**70))
    assert KeyedCircuitBreaker(idle_ttl=HUGE).for_key("a").name == "a"
    breaker = CircuitBreaker()
    breaker.force_open(ttl=HUGE)
    assert breaker.state == "forced_open"


async def test_a_priority_beyond_all_others_is_the_first_and_the_last_of_the_queue():
    policy, served = bulkhead(1, max_waiting=3), []

    async def serve(name):
        await asyncio.sleep(0)
        served.append(name)

    async def at(level):
        with priority(level):
            await policy.call(serve, level)

    levels = [0, -HUGE, 5, HUGE]
    await asyncio.gather(*map(at, levels))
    assert served == [0, HUGE, 5, -HUGE]
    assert policy.in_flight == 0


async def test_a_request_with_a_timeout_beyond_all_floats_is_refused():
    async with RequestBatcher(batch_timeout_ms=0) as batcher:
        with pytest.raises(ValueError, match="timeout"):
            await batcher.add_request("a", 1, timeout=HUGE)
        assert batcher.get_metrics()["pending_requests"] == 0


def test_seeds_of_any_size_are_different_seeds():
    def waits(seed):
        policy = retry(on=ValueError, attempts=5, seed=seed, wait_initial=1e-6)
        seen = []
        policy.add_listener(lambda event: seen.append(getattr(event, "wait", None)))
        with pytest.raises(ValueError, match="no"):
            policy.call_sync(_refuse)
        return seen

    assert waits(2**63 + 1) == waits(2**63 + 1) != waits(2**63 + 2)


def _refuse():
    raise ValueError("no")
