"""What counts as a failure, and what answers instead of a rejection."""

import asyncio

import pytest

from resilience import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    State,
)
from support.breakers import UpstreamError, fail


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("upstream", clock=clock, recovery_jitter=0.0)


def http_error(status, where="status_code"):
    error = UpstreamError()
    if where == "response":
        error.response = type("Response", (), {"status_code": status})()
    else:
        setattr(error, where, status)
    return error


@pytest.mark.parametrize("where", ["status_code", "status", "response"])
@pytest.mark.parametrize(
    ("status", "counts"), [(400, 0), (401, 0), (404, 0), (408, 1), (429, 1), (499, 0), (500, 1), (503, 1)]
)
def test_a_callers_own_mistake_opens_nothing(breaker, where, status, counts):
    def answer():
        raise http_error(status, where)

    with pytest.raises(UpstreamError):
        breaker.call_sync(answer)
    assert breaker.failure_count == counts


def test_a_timeout_of_the_library_is_a_failure_and_its_rejections_are_not(breaker):
    def time_out():
        raise CallTimeoutError("call", 1.0)

    def reject():
        raise CircuitOpenError("inner", 1.0)

    with pytest.raises(CallTimeoutError):
        breaker.call_sync(time_out)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(reject)
    assert breaker.failure_count == 1
    assert breaker.get_stats()["totals"]["ignored"] == 1


@pytest.mark.parametrize(
    "rule",
    [UpstreamError, (OSError, UpstreamError), lambda error: isinstance(error, UpstreamError)],
    ids=["type", "tuple", "predicate"],
)
def test_failure_on_decides_what_counts(clock, rule):
    breaker = CircuitBreaker(clock=clock, failure_on=rule)

    def other():
        raise KeyError

    def upstream():
        raise UpstreamError

    with pytest.raises(KeyError):
        breaker.call_sync(other)
    assert breaker.failure_count == 0
    with pytest.raises(UpstreamError):
        breaker.call_sync(upstream)
    assert breaker.failure_count == 1


def test_an_inner_rejection_counts_only_when_it_is_named(clock):
    def full():
        raise BulkheadFullError("inner")

    for rule, counts in ((Exception, 0), (BulkheadFullError, 1)):
        breaker = CircuitBreaker(clock=clock, failure_on=rule)
        with pytest.raises(BulkheadFullError):
            breaker.call_sync(full)
        assert breaker.failure_count == counts


def test_a_result_can_be_a_failure(clock):
    breaker = CircuitBreaker(clock=clock, failure_threshold=1, failure_result=lambda value: value is None)
    assert breaker.call_sync(lambda: None) is None
    assert breaker.state is State.OPEN


async def test_a_fallback_replaces_rejections_only(clock):
    breaker = CircuitBreaker(clock=clock, failure_threshold=1, fallback="cached")
    with pytest.raises(UpstreamError):
        await breaker.call(fail)
    assert await breaker.call(fail) == "cached"
    assert breaker.call_sync(lambda: 1) == "cached"


async def test_a_fallback_function_gets_the_calls_arguments(clock):
    async def stale(key, *, region):
        return f"stale {key} {region}"

    breaker = CircuitBreaker(clock=clock, fallback=stale)

    @breaker
    async def fetch(key, *, region):
        return f"fresh {key} {region}"

    assert await fetch("k", region="eu") == "fresh k eu"
    breaker.force_open()
    assert await fetch("k", region="eu") == "stale k eu"
    with pytest.raises(TypeError, match="async fallback"):
        breaker(lambda: 1)


@pytest.mark.parametrize("window", [{}, {"window_calls": 20}])
async def test_a_slow_call_that_was_cancelled_is_neither_success_nor_failure(clock, window):
    breaker = CircuitBreaker(
        clock=clock, slow_call_duration=1.0, slow_call_rate_threshold=0.5, minimum_calls=10, **window
    )

    async def hang():
        await asyncio.Event().wait()

    for _ in range(10):
        call = asyncio.create_task(breaker.call(hang))
        await asyncio.sleep(0)
        clock.advance(1.0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert breaker.state is State.OPEN
    assert (breaker.failure_count, breaker.success_count) == (0, 0)
    stats = breaker.get_stats()
    assert (stats["failure_count"], stats["success_count"], stats["slow_call_count"]) == (0, 0, 10)
