"""Guarded generators: one stream is one call, whichever way it ends."""

import asyncio
import contextlib
import gc
import traceback

import pytest

from resilience import CircuitBreaker, CircuitOpenError, State
from support.streams import counting, counting_plainly, totals


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("streams", failure_threshold=2, recovery_jitter=0.0, ignore=KeyError, clock=clock)


async def test_an_exhausted_stream_is_one_success(breaker):
    assert [item async for item in counting(breaker)(5)] == [0, 1, 2, 3, 4]
    assert totals(breaker) == {"successes": 1}


def test_an_exhausted_plain_stream_is_one_success(breaker):
    assert list(counting_plainly(breaker)(5)) == [0, 1, 2, 3, 4]
    assert totals(breaker) == {"successes": 1}


async def test_a_stream_without_items_is_a_success(breaker):
    assert [item async for item in counting(breaker)(0)] == []
    assert totals(breaker) == {"successes": 1}


async def test_a_stream_that_fails_is_one_failure_and_its_error_arrives_unchanged(breaker):
    got = []
    with pytest.raises(OSError, match="broken") as caught:
        async for item in counting(breaker, fails_at=3)(5):
            got += [item]
    assert got == [0, 1, 2]
    assert totals(breaker) == {"failures": 1}
    frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert frames[-1] == "count"
    assert len(frames) <= 3  # the test, one step of the stream, the function


def test_a_plain_stream_that_fails_is_one_failure(breaker):
    with pytest.raises(OSError, match="broken"):
        list(counting_plainly(breaker, fails_at=3)(5))
    assert totals(breaker) == {"failures": 1}


async def test_an_ignored_error_in_a_stream_counts_for_nothing(breaker):
    with pytest.raises(KeyError):
        async for _ in counting(breaker, fails_at=1, error=KeyError)(5):
            pass
    assert totals(breaker) == {"ignored": 1}


async def test_break_after_an_item_is_a_success_at_once(breaker):
    async for _ in counting(breaker)(5):
        break
    assert totals(breaker) == {"successes": 1}


def test_break_after_an_item_of_a_plain_stream_is_a_success(breaker):
    for _ in counting_plainly(breaker)(5):
        break
    assert totals(breaker) == {"successes": 1}


async def test_aclose_after_an_item_is_a_success_and_runs_the_functions_cleanup(breaker):
    cleaned = []

    @breaker
    async def stream():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    items = stream()
    assert await anext(items) == 1
    await items.aclose()
    assert cleaned == [True]
    assert totals(breaker) == {"successes": 1}
    with pytest.raises(StopAsyncIteration):
        await anext(items)
    await items.aclose()
    assert totals(breaker) == {"successes": 1}


async def test_leaving_before_the_first_item_gives_the_permit_back_without_a_verdict(breaker):
    entered = asyncio.Event()

    @breaker
    async def slow_to_start():
        entered.set()
        await asyncio.Event().wait()
        yield 1

    task = asyncio.ensure_future(anext(slow_to_start()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert totals(breaker) == {"cancelled": 1}


async def test_a_stream_never_started_or_closed_before_its_start_is_no_call(breaker):
    count = counting(breaker)
    count(3)
    unstarted = count(3)
    await unstarted.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(unstarted)
    assert totals(breaker) == {}


async def test_a_half_consumed_stream_that_nobody_holds_gives_its_permit_back_at_once(breaker, clock):
    breaker.trip(1)
    clock.advance(1)
    probe = counting(breaker)(3)
    await anext(probe)
    with pytest.raises(CircuitOpenError):
        await anext(counting(breaker)(3))
    del probe
    assert totals(breaker) == {"successes": 1}
    assert [item async for item in counting(breaker)(1)] == [0]
    assert breaker.state is State.CLOSED


async def test_a_half_consumed_stream_in_a_cycle_is_settled_when_it_is_collected(breaker):
    items = counting(breaker)(3)
    await anext(items)
    cycle = [items]
    cycle.append(cycle)
    del items, cycle
    gc.collect()
    assert totals(breaker) == {"successes": 1}


def test_a_half_consumed_stream_outlives_its_event_loop_quietly(breaker):
    held = []

    async def start():
        held.append(counting(breaker)(3))
        await anext(held[0])

    asyncio.run(start())
    held.clear()
    assert totals(breaker) == {"successes": 1}


async def test_a_cancelled_consumer_is_neither_success_nor_failure(breaker):
    got = asyncio.Event()

    @breaker
    async def stream():
        yield 1
        await asyncio.Event().wait()

    async def consume():
        async for _ in stream():
            got.set()

    task = asyncio.ensure_future(consume())
    await got.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert totals(breaker) == {"cancelled": 1}


async def test_a_failing_cleanup_is_a_failure(breaker):
    @breaker
    async def stream():
        try:
            yield 1
        finally:
            raise OSError("cleanup")

    items = stream()
    await anext(items)
    with pytest.raises(OSError, match="cleanup"):
        await items.aclose()
    assert totals(breaker) == {"failures": 1}


async def test_a_generator_that_will_not_end_is_reported(breaker):
    @breaker
    async def stubborn():
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    items = stubborn()
    await anext(items)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        await items.aclose()
    assert totals(breaker) == {"failures": 1}


async def test_an_open_breaker_rejects_a_stream_before_its_function_runs(breaker):
    ran = []

    @breaker
    async def stream():
        ran.append(True)
        yield 1

    breaker.force_open()
    items = stream()  # raises nothing yet
    with pytest.raises(CircuitOpenError):
        await anext(items)
    breaker.reset()
    with pytest.raises(StopAsyncIteration):  # a stream that was rejected is over
        await anext(items)
    assert ran == []


def test_an_open_breaker_rejects_a_plain_stream_before_its_function_runs(breaker):
    ran = []

    @breaker
    def stream():
        ran.append(True)
        yield 1

    breaker.force_open()
    items = stream()
    with pytest.raises(CircuitOpenError):
        next(items)
    breaker.reset()
    assert list(items) == []
    assert ran == []


async def test_a_streams_result_after_the_state_changed_is_late(breaker):
    items = counting(breaker)(2)
    await anext(items)
    breaker.reset()
    assert [item async for item in items] == [1]
    assert breaker.get_stats()["totals"]["late"] == 1
    assert totals(breaker) == {}


async def test_a_fallback_stream_replaces_a_rejected_one(clock):
    async def cached(limit):
        for _ in range(limit):
            yield "cached"

    breaker = CircuitBreaker("with fallback", fallback=cached, clock=clock)
    breaker.force_open()
    assert [item async for item in counting(breaker)(2)] == ["cached", "cached"]
    assert totals(breaker) == {}


async def test_a_fallback_value_is_iterated(clock):
    breaker = CircuitBreaker("with fallback", fallback=("none",), clock=clock)
    breaker.force_open()
    assert [item async for item in counting(breaker)(2)] == ["none"]
    assert list(counting_plainly(breaker)(2)) == ["none"]
