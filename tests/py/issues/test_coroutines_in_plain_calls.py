"""What has to be awaited went through plain ways in: unguarded, or kept for callers who would await it twice."""

import functools
import warnings

import pytest

from resilience import (
    Cache,
    CircuitBreaker,
    Pipeline,
    adaptive_limit,
    bulkhead,
    cache,
    fallback,
    hedge,
    rate_limit,
    retry,
    timeout,
)
from resilience.testing import FaultInjector, disabled

POLICIES = [
    CircuitBreaker,
    lambda: CircuitBreaker(fallback=0),
    lambda: retry(on=ValueError),
    lambda: timeout(1.0),
    lambda: bulkhead(1),
    lambda: rate_limit(1),
    lambda: fallback(0),
    lambda: hedge(1.0),
    adaptive_limit,
    lambda: Pipeline(retry=retry(on=ValueError), bulkhead=bulkhead(1)),
    FaultInjector,
]


async def double(x=1):
    return 2 * x


class Doubler:
    async def __call__(self, x=1):
        return 2 * x

    async def method(self, x=1):
        return 2 * x


guarded = CircuitBreaker("double")(double)
COROUTINE_FUNCTIONS = {
    "function": double,
    "partial": functools.partial(functools.partial(double), 3),
    "object": Doubler(),
    "bound method": Doubler().method,
    "guarded": guarded,
    "guarded partial": CircuitBreaker("part")(functools.partial(double, 3)),
    "cached": cache(double),
}


@pytest.mark.parametrize("make", POLICIES)
@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS.values(), ids=COROUTINE_FUNCTIONS)
def test_call_sync_refuses_what_is_to_be_awaited(make, function):
    with pytest.raises(TypeError, match=r"call_sync\(\) takes a plain function, use `await call\(\)`"):
        make().call_sync(function)


def test_refusing_changes_nothing():
    breaker, limit = CircuitBreaker(failure_threshold=1), rate_limit(1)
    for policy in (breaker, limit, Pipeline(circuit_breaker=breaker, rate_limit=limit)):
        with pytest.raises(TypeError):
            policy.call_sync(double)
    with disabled(), pytest.raises(TypeError):
        breaker.call_sync(double)
    assert breaker.state == "closed"
    assert sum(breaker.get_stats()["totals"].values()) == 0
    assert limit.call_sync(int) == 0


@pytest.mark.parametrize(
    ("function", "answer"),
    [(int, 0), (functools.partial(int, 1), 1), ("ab".upper, "AB"), ("ab".__len__, 2), (lambda: 3, 3)],
)
def test_plain_callables_of_every_kind_are_called(function, answer):
    assert CircuitBreaker().call_sync(function) == answer


@pytest.mark.parametrize("load", [lambda _key: double(), lambda _key: guarded()])
def test_a_plain_load_keeps_nothing_that_is_to_be_awaited(load):
    kept = Cache()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was closed, so nobody is told that it was never awaited
        for call in (lambda: kept.get_or_load_sync("key", load), lambda: cache(load, backend=kept)("key")):
            with pytest.raises(TypeError, match="has to be awaited"):
                call()
    assert len(kept) == 0


def test_an_async_loader_is_refused_by_the_plain_way_in():
    kept = Cache()
    with pytest.raises(TypeError, match="has to be awaited"):
        kept.get_or_load_sync(2, double)
    assert kept.get_or_load_sync(2, lambda key: 2 * key) == 4
