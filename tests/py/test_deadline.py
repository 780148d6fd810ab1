"""Timeouts within timeouts: who is first, and what a call has left."""

import asyncio

import pytest

from resilience import CallTimeoutError, Pipeline, bulkhead, deadline, fallback, remaining, timeout
from resilience.testing import ManualClock
from support.policies import Gate
from support.until import settle


async def test_a_total_timeout_covers_waits_and_the_fallback_answers_it():
    clock = ManualClock()
    room = bulkhead(1, max_waiting=1)
    pipeline = Pipeline(total_timeout=5.0, bulkhead=room, fallback=fallback("late"), clock=clock)
    gate = Gate()
    holder = asyncio.create_task(room.call(gate))
    await settle()
    waiter = asyncio.create_task(pipeline.call(Gate()))
    await settle()
    assert room.waiting == 1
    clock.advance(5.0)
    assert await waiter == "late"
    assert (room.in_flight, room.waiting) == (1, 0)
    gate.open()
    await holder


async def test_nested_deadlines_never_outlive_the_outer_one():
    clock = ManualClock()

    async def nested():
        async with deadline(10.0, clock=clock):
            assert remaining() == pytest.approx(3.0)
            await timeout(10.0, clock=clock).call(Gate())

    async def outer():
        async with deadline(3.0, clock=clock):
            await nested()

    task = asyncio.create_task(outer())
    await settle()
    clock.advance(3.0)
    with pytest.raises(CallTimeoutError, match="'deadline' timed out after 3 s"):
        await task
    assert remaining() is None


async def test_nested_calls_know_what_the_timeouts_around_them_have_left():
    clock = ManualClock()
    gate = Gate()
    seen = []

    async def nested():
        seen.append(remaining())
        await gate()
        seen.append(remaining())

    async def outer():
        await timeout(10.0, clock=clock).call(nested)
        seen.append(remaining())

    task = asyncio.create_task(timeout(3.0, clock=clock).call(outer))
    await settle()
    clock.advance(1.0)
    assert remaining() is None
    gate.open()
    await task
    assert seen == [3.0, 2.0, 2.0]


async def test_a_call_that_has_timed_out_has_nothing_left():
    clock = ManualClock()
    seen = []

    async def stubborn():
        try:
            await Gate()()
        finally:
            seen.append(remaining())

    task = asyncio.create_task(timeout(3.0, clock=clock).call(stubborn))
    await settle()
    clock.advance(3.0)
    with pytest.raises(CallTimeoutError):
        await task
    assert seen == [0.0]
