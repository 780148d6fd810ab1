"""A caller who passed `call` a plain function opened the breaker; generator functions went unguarded."""

import asyncio
import types

import pytest

from resilience import (
    CircuitBreaker,
    Pipeline,
    adaptive_limit,
    bulkhead,
    fallback,
    hedge,
    rate_limit,
    retry,
    timeout,
)
from resilience.testing import FaultInjector, ManualClock, disabled

POLICIES = {
    "breaker": lambda: CircuitBreaker(failure_threshold=1),
    "retry": lambda: retry(on=Exception),
    "timeout": lambda: timeout(1.0),
    "bulkhead": lambda: bulkhead(1),
    "rate limit": lambda: rate_limit(5),
    "fallback": lambda: fallback(0, on=Exception),
    "hedge": lambda: hedge(1.0),
    "adaptive limit": adaptive_limit,
    "pipeline": lambda: Pipeline(
        fallback=fallback(0, on=Exception),
        total_timeout=2.0,
        retry=retry(on=Exception),
        circuit_breaker=CircuitBreaker(failure_threshold=1),
        rate_limit=rate_limit(5),
        bulkhead=bulkhead(1),
        adaptive_limit=adaptive_limit(),
        timeout=1.0,
    ),
}
each_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)


def items():
    yield 1


async def async_items():
    yield 1


def stop():
    raise StopIteration("value")


@types.coroutine
def awaited():
    yield from asyncio.sleep(0).__await__()
    return "awaited"


def assert_nothing_counted(policy):
    if isinstance(policy, CircuitBreaker):
        assert policy.state == "closed"
        assert (policy.failure_count, policy.success_count) == (0, 0)
        return
    members = policy._members
    if members.circuit_breaker is not None:
        assert_nothing_counted(members.circuit_breaker)
    for limit in (members.bulkhead, members.adaptive_limit):
        assert limit is None or limit.in_flight == 0


@each_policy
@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (lambda: 5, "use call_sync.*returned int"),
        (items, "decorate.*returned generator"),
        (async_items, "decorate.*returned async_generator"),
    ],
)
async def test_call_refuses_a_function_that_gives_nothing_to_await_and_counts_nothing(make, function, advice):
    policy = make()
    with pytest.raises(TypeError, match=advice):
        await policy.call(function)
    assert_nothing_counted(policy)


async def test_a_probe_that_gives_nothing_to_await_gives_its_place_back():
    clock = ManualClock()
    breaker = CircuitBreaker(failure_threshold=1, success_threshold=1, clock=clock)
    breaker.trip(1.0)
    clock.advance(1.0)
    for _ in range(5):
        with pytest.raises(TypeError, match="use call_sync"):
            await breaker.call(lambda: 5)
    assert breaker.state == "half_open"
    assert await breaker.call(asyncio.sleep, 0, "good") == "good"
    assert breaker.state == "closed"


@each_policy
@pytest.mark.parametrize(
    "function", [items, async_items, CircuitBreaker()(items), CircuitBreaker()(async_items)]
)
def test_call_sync_refuses_a_function_that_makes_a_stream(make, function):
    policy = make()
    with pytest.raises(TypeError, match=r"call_sync\(\) takes a plain function"):
        policy.call_sync(function)
    with disabled(), pytest.raises(TypeError, match=r"call_sync\(\) takes a plain function"):
        policy.call_sync(function)
    assert_nothing_counted(policy)


@each_policy
@pytest.mark.parametrize("given", [(), (5,), (None,), ("name", 1)])
def test_what_can_not_be_called_is_refused_and_counts_nothing(make, given):
    policy = make()
    for call in (policy.call, policy.call_sync):
        with pytest.raises(TypeError, match="takes the function to call as its first argument"):
            call(*given)
    assert_nothing_counted(policy)


@pytest.mark.parametrize("function", [items, async_items])
def test_a_fault_injector_refuses_streams_too(function):
    with pytest.raises(TypeError, match=r"call_sync\(\) takes a plain function"):
        FaultInjector().call_sync(function)


@pytest.mark.parametrize("name", sorted(POLICIES.keys() - {"fallback", "pipeline"}))
async def test_a_stop_iteration_of_a_function_that_is_called_late_is_no_result(name):
    policy = POLICIES[name]()

    async def ask():
        return await policy.call(stop)

    with pytest.raises(RuntimeError, match="raised StopIteration") as raised:
        await asyncio.create_task(ask())
    assert isinstance(raised.value.__cause__, StopIteration)


@pytest.mark.parametrize("name", ["fallback", "pipeline"])
async def test_a_stop_iteration_of_such_a_function_is_an_error_to_answer(name):
    assert await POLICIES[name]().call(stop) == 0


@each_policy
async def test_a_generator_that_await_takes_is_called_and_decorated_as_a_coroutine(make):
    assert await make().call(awaited) == "awaited"
    assert await make()(awaited)() == "awaited"
    with pytest.raises(TypeError, match="use `await call"):
        make().call_sync(awaited)
