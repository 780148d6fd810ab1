"""How long a cached function's results last, and what is served when they are stale or their load fails."""

import asyncio
import random

import pytest

from resilience import CircuitBreaker, CircuitOpenError, cache
from support.loads import Calls, cached
from support.until import settle


def test_ttl_counts_from_the_end_of_the_load(clock):
    @cache(ttl=10, clock=clock)
    def f():
        clock.advance(8)
        return clock.now()

    assert f() == 8
    clock.advance(9)
    assert f() == 8
    clock.advance(1)
    assert f() == 26


async def test_jitter_spreads_expiry_below_the_ttl(clock):
    random.seed(3)
    calls = Calls()
    f = cached(calls, ttl=100, jitter=0.5, clock=clock)
    for x in range(100):
        await f(x)
    clock.advance(50)
    assert len(f.cache) == 100
    sizes = []
    for _ in range(5):
        clock.advance(10)
        sizes.append(len(f.cache))
    assert sizes == sorted(sizes, reverse=True)
    assert 60 < sizes[0] < 95
    assert sizes[-1] == 0


async def test_a_result_may_choose_its_own_ttl(clock):
    calls = Calls()
    f = cached(calls, ttl=100, ttl_of=lambda value: 1 if value[0] == "short" else None, clock=clock)
    await f("short")
    await f("long")
    clock.advance(1)
    await f("short")
    await f("long")
    assert calls.count == 3


async def test_what_is_not_to_be_kept_is_not():
    none = Calls()

    @cache(cache_none=False)
    async def nothing():
        await none()

    await nothing()
    await nothing()
    assert none.count == 2
    calls = Calls()
    f = cached(calls, condition=lambda value: value[1] > 1)
    assert [await f(), await f(), await f()] == [(0, 1), (0, 2), (0, 2)]


async def test_a_stale_value_is_served_while_one_load_renews_it(clock):
    calls = Calls()
    f = cached(calls, ttl=10, stale_while_revalidate=5, clock=clock)
    assert await f() == (0, 1)
    clock.advance(12)
    calls.gate = asyncio.Event()
    assert [await f(), await f()] == [(0, 1), (0, 1)]
    await settle()
    assert calls.count == 2
    calls.gate.set()
    await settle()
    assert await f() == (0, 2)
    assert f.stats()["stale_served"] == 2
    clock.advance(15)
    assert await f() == (0, 3), "past the window it waits for the load"


async def test_a_failed_refresh_keeps_the_stale_value(clock, caplog):
    calls = Calls()
    f = cached(calls, ttl=10, stale_while_revalidate=50, clock=clock)
    await f()
    clock.advance(10)
    calls.error = ValueError("down")
    assert await f() == (0, 1)
    await settle()
    assert await f() == (0, 1)
    await settle()
    assert "background failed" in caplog.text


async def test_a_stale_value_answers_for_a_failed_load(clock):
    calls = Calls()
    f = cached(calls, ttl=10, stale_if_error=30, clock=clock)
    await f()
    clock.advance(20)
    calls.error = ValueError("down")
    assert await f() == (0, 1)
    assert f.stats()["stale_served"] == 1
    clock.advance(20)
    with pytest.raises(ValueError, match="down"):
        await f()


async def test_a_stale_value_answers_while_the_breaker_is_open(clock):
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1_000, clock=clock)
    calls = Calls()

    @cache(ttl=10, stale_if_error=100, clock=clock)
    @breaker
    async def f():
        return await calls()

    await f()
    clock.advance(11)
    breaker.force_open()
    assert await f() == (1,)
    f.invalidate()
    with pytest.raises(CircuitOpenError):
        await f()


async def test_failures_are_not_kept_unless_asked_for(clock):
    calls = Calls()
    calls.error = ValueError("down")
    f = cached(calls)
    for _ in range(2):
        with pytest.raises(ValueError, match="down") as caught:
            await f()
        assert caught.value is calls.error, "a sole caller gets the very error"
    assert calls.count == 2
    g = cached(calls, negative_ttl=5, clock=clock)
    errors = []
    for _ in range(3):
        with pytest.raises(ValueError, match="down") as caught:
            await g()
        errors.append(caught.value)
    assert calls.count == 3
    assert len({id(error) for error in errors}) == 3
    clock.advance(5)
    calls.error = None
    assert await g() == (0, 4)


async def test_each_waiter_gets_its_own_error_and_tracebacks_do_not_grow():
    calls = Calls()
    calls.error = ValueError("down")
    f = cached(calls)
    errors = await asyncio.gather(*(f() for _ in range(50)), return_exceptions=True)
    assert calls.count == 1
    assert {str(error) for error in errors} == {"down"}
    assert len({id(error) for error in errors}) == 50

    def depth(error):
        frames = 0
        trace = error.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
        return frames

    assert max(map(depth, errors)) < 10


def test_a_plain_function_serves_stale_values_and_remembers_failures(clock):
    state = {"count": 0, "error": None}

    @cache(ttl=10, stale_if_error=20, negative_ttl=5, clock=clock)
    def f():
        state["count"] += 1
        if state["error"] is not None:
            raise state["error"]
        return state["count"]

    assert f() == 1
    clock.advance(15)
    state["error"] = ValueError("down")
    assert f() == 1
    clock.advance(30)
    for _ in range(2):
        with pytest.raises(ValueError, match="down"):
            f()
    assert state["count"] == 3
