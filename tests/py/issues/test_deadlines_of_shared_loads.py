"""A load that several callers wait for knew the first one's deadline: when that passed, the others had none left."""

import asyncio

import pytest

from resilience import Cache, CallTimeoutError, cache, deadline, remaining, retry


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_load_outlives_the_deadline_of_the_caller_who_began_it(clock):
    begun, left = asyncio.Event(), []

    @cache
    async def load(key):
        await begun.wait()
        left.append(remaining())
        async with deadline(5.0, clock=clock):
            await asyncio.sleep(0)
        return key

    async def in_a_hurry():
        async with deadline(1.0, clock=clock):
            return await load("key")

    hurried = asyncio.create_task(in_a_hurry())
    await turns()
    patient = asyncio.create_task(load("key"))
    await turns()
    clock.advance(1.0)
    await turns()
    begun.set()
    with pytest.raises(CallTimeoutError):
        await hurried
    assert await patient == "key"
    assert left == [None]


async def test_a_load_retries_however_little_time_its_first_caller_has(clock):
    attempts = []

    @retry(on=ValueError, wait_initial=2.0, jitter="none", clock=clock)
    async def flaky(key):
        attempts.append(key)
        if len(attempts) == 1:
            raise ValueError
        return key

    kept = Cache()

    async def in_a_hurry():
        async with deadline(1.0, clock=clock):
            return await kept.get_or_load("key", flaky)

    hurried = asyncio.create_task(in_a_hurry())
    await turns()
    patient = asyncio.create_task(kept.get_or_load("key", flaky))
    await turns()
    clock.advance(1.0)
    await turns()
    clock.advance(1.0)
    with pytest.raises(CallTimeoutError):
        await hurried
    assert await patient == "key"


async def test_a_load_for_nobody_else_still_ends_with_its_callers_deadline(clock):
    ended = []

    @cache
    async def load(key):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(key)

    async def in_a_hurry():
        async with deadline(1.0, clock=clock):
            await load("key")

    hurried = asyncio.create_task(in_a_hurry())
    await turns()
    clock.advance(1.0)
    with pytest.raises(CallTimeoutError):
        await hurried
    await turns()
    assert ended == ["key"]


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1 / 3])
async def test_the_error_names_the_seconds_that_were_given(clock, seconds):
    clock.advance(12345.678)

    async def wait():
        async with deadline(seconds, clock=clock):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await turns()
    clock.advance(seconds + 1e-6)
    with pytest.raises(CallTimeoutError) as caught:
        await waiting
    assert caught.value.timeout == seconds
