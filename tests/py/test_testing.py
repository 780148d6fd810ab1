"""`resilience.testing`: what services test themselves with."""

import asyncio
import inspect
import subprocess
import sys

import pytest

from resilience import (
    CircuitBreaker,
    Pipeline,
    bulkhead,
    cache,
    fallback,
    get_all_circuit_breakers,
    get_circuit_breaker,
    hedge,
    rate_limit,
    retry,
    testing,
    timeout,
)
from resilience.errors import BulkheadFullError, CircuitOpenError, RateLimitedError
from resilience.testing import FaultInjector, ManualClock, disabled

pytest_plugins = ["resilience.testing"]


def open_breaker():
    breaker = CircuitBreaker()
    breaker.force_open()
    return breaker


POLICIES = [
    open_breaker(),
    retry(on=ValueError, wait_initial=60.0),
    fallback("answer", on=ValueError),
    timeout(60.0),
    hedge(0.0),
    Pipeline(retry=retry(on=ValueError, wait_initial=60.0), circuit_breaker=open_breaker(), timeout=60.0),
]


async def fail():
    raise ValueError("itself")


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_disabled_policy_leaves_functions_alone(policy):
    guarded = policy(fail)
    with disabled():
        for call in (guarded(), policy.call(fail)):
            assert inspect.iscoroutine(call)
            with pytest.raises(ValueError, match="itself"):
                await call
        bound = Holder(policy).guarded
        assert await bound(1) == 1


class Holder:
    def __init__(self, policy):
        self.guarded = policy(self.method)

    async def method(self, value):
        return value


async def test_disabled_limits_let_everybody_through():
    full, spent = bulkhead(1), rate_limit(1, clock=ManualClock())
    inside = asyncio.Event()

    @full
    async def hold():
        inside.set()
        await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    spent.call_sync(int)
    with disabled():
        assert full.call_sync(int) == 0
        assert spent.call_sync(int) == 0
    with pytest.raises(BulkheadFullError):
        full.call_sync(int)
    with pytest.raises(RateLimitedError):
        spent.call_sync(int)
    holder.cancel()


async def test_disabled_breakers_count_nothing_and_reject_nothing():
    breaker = open_breaker()
    with disabled():
        with breaker, breaker.guard():
            pass
        async with breaker:
            pass
        assert breaker(int)() == 0
        assert list(breaker(items)()) == [1, 2]
        assert [item async for item in breaker(async_items)()] == [1, 2]
    with pytest.raises(CircuitOpenError), breaker:
        pass
    totals = breaker.get_stats()["totals"]
    assert (totals["successes"], totals["failures"], totals["rejected"]) == (0, 0, 1)


def items():
    yield 1
    yield 2


async def async_items():
    yield 1
    yield 2


async def test_disabled_caches_neither_answer_nor_keep():
    loads = []

    @cache
    async def load(key):
        loads.append(key)
        return len(loads)

    @cache
    def load_sync(key):
        return load_sync

    assert await load("a") == 1
    with disabled():
        assert [await load("a"), await load("a"), await load(["unhashable"])] == [2, 3, 4]
        assert load_sync("a") is load_sync
    assert await load("a") == 1
    assert len(load_sync.cache) == 0


def test_disabling_nests_and_ends_with_an_error():
    breaker = open_breaker()
    with disabled():
        with pytest.raises(ZeroDivisionError), disabled():
            breaker.call_sync(lambda: 1 / 0)
        assert breaker.call_sync(int) == 0
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(int)


async def test_a_block_entered_before_counts_as_it_began():
    breaker = CircuitBreaker()
    with breaker:
        entered = disabled()
        entered.__enter__()
    entered.__exit__(None, None, None)
    assert breaker.success_count == 1
    entered = disabled()
    entered.__enter__()
    with breaker:
        entered.__exit__(None, None, None)
    assert breaker.success_count == 1


def test_there_is_a_manual_clock(manual_clock):
    assert isinstance(manual_clock, ManualClock)
    manual_clock.advance(1.5)
    assert manual_clock.now() == 1.5


@pytest.mark.usefixtures("resilience_disabled")
def test_a_test_may_ask_for_no_policies():
    assert open_breaker().call_sync(int) == 0


@pytest.fixture
def none_is_left():
    yield
    assert "made by a test" not in get_all_circuit_breakers()


@pytest.mark.usefixtures("none_is_left", "resilience_registry")  # what comes first looks last
def test_a_test_may_ask_to_leave_no_breakers():
    made = get_circuit_breaker("made by a test", failure_threshold=1)
    assert get_all_circuit_breakers()["made by a test"] is made


def test_the_helpers_need_no_pytest():
    code = "import sys, resilience.testing as t; t.disabled; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False"]
    assert {"disabled", "FaultInjector", "ManualClock", "manual_clock"} <= set(dir(testing))
    assert FaultInjector is testing.FaultInjector


@pytest.mark.parametrize("start", [float("nan"), float("inf"), -float("inf")])
def test_a_clock_starts_at_a_finite_time(start):
    with pytest.raises(ValueError, match="start"):
        ManualClock(start)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_clock_advances_by_a_finite_time(seconds):
    with pytest.raises(ValueError, match="seconds"):
        ManualClock().advance(seconds)
