"""A deadline inside a task that a longer one had started was left to the outer one, which ends only its own task."""

import asyncio

import pytest

from resilience import deadline, remaining
from resilience.errors import CallTimeoutError


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def bounded(clock):
    """Starts a task whose own deadline, in so many seconds, is all that it waits for."""

    async def child(seconds):
        async with deadline(seconds, clock=clock):
            await asyncio.Event().wait()

    async def start(seconds):
        task = asyncio.create_task(child(seconds))
        await settle()
        return task

    return start


async def test_a_task_that_outlives_the_block_is_still_bounded(clock, bounded):
    async with deadline(5.0, clock=clock):
        task = await bounded(100.0)
    clock.advance(4.0)
    await settle()
    assert not task.done()
    clock.advance(1.5)
    with pytest.raises(CallTimeoutError):
        await task


async def test_a_shorter_one_inside_of_it_holds(clock, bounded):
    async with deadline(5.0, clock=clock):
        task = await bounded(2.0)
        clock.advance(2.5)
        with pytest.raises(CallTimeoutError):
            await task
        assert remaining() == pytest.approx(2.5)


async def test_one_that_has_passed_ends_the_block_at_its_first_wait(clock):
    late = asyncio.Event()

    async def child():
        await late.wait()
        async with deadline(100.0, clock=clock):
            await asyncio.Event().wait()

    async with deadline(5.0, clock=clock):
        task = asyncio.create_task(child())
    clock.advance(6.0)
    late.set()
    await settle()
    clock.advance(0.001)
    with pytest.raises(CallTimeoutError):
        await task
