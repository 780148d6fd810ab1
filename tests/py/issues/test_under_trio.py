"""Limits, retries and caches took an asyncio event loop for granted wherever they had to wait."""

import anyio
import pytest
import trio

from resilience import (
    Cache,
    RequestBatcher,
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
from resilience.errors import BulkheadFullError, CacheRecursionError


async def turns():
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    return 3


def under_trio(function):
    """Run a coroutine function as a test, under anyio on trio."""

    def run():
        anyio.run(function, backend="trio")

    run.__name__ = function.__name__
    return run


@pytest.mark.parametrize(
    "limit", [bulkhead(1, max_waiting=9), adaptive_limit(initial=1, max=1, max_waiting=9, wait_interval=30.0)]
)
def test_calls_wait_for_their_place(limit):
    running = []
    most = 0

    @limit
    async def call():
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await turns()
        running.pop()

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)

    anyio.run(main, backend="trio")
    assert most == 1
    assert (limit.in_flight, limit.waiting) == (0, 0)


@under_trio
async def test_a_cancelled_waiter_leaves_its_place():
    limit = bulkhead(1, max_waiting=1)
    entered, leave = anyio.Event(), anyio.Event()

    @limit
    async def call():
        entered.set()
        await leave.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await entered.wait()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught
        assert limit.waiting == 0
        leave.set()
    assert limit.in_flight == 0


@under_trio
async def test_waiting_for_a_place_ends():
    limit = bulkhead(1, max_waiting=1, max_wait=0.001)
    entered, leave = anyio.Event(), anyio.Event()

    async def hold():
        entered.set()
        await leave.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(limit.call, hold)
        await entered.wait()
        with pytest.raises(BulkheadFullError):
            await limit.call(turns)
        leave.set()


@under_trio
async def test_a_rate_limit_lets_calls_wait():
    limited = rate_limit(1000.0, burst=1, max_wait=60.0)(turns)
    with priority(1):
        answers = [await limited() for _ in range(3)]
    assert answers == [3, 3, 3]


def test_a_manual_clock_wakes_trio(clock):
    limit = rate_limit(1, max_wait=5.0, clock=clock)
    served = []

    async def serve():
        served.append(clock.now())

    async def main():
        await limit.call(serve)
        async with anyio.create_task_group() as group:
            group.start_soon(limit.call, serve)
            await turns()
            assert served == [0.0]
            clock.advance(1.0)
        assert served == [0.0, 1.0]

    anyio.run(main, backend="trio")


@under_trio
async def test_retries_wait_between_attempts():
    attempts = []

    @retry(on=ValueError, wait_initial=0.001, jitter="none")
    async def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return len(attempts)

    assert await flaky() == 3


@under_trio
async def test_one_load_serves_all_its_callers():
    loads = []
    answers = []

    @cache
    async def load(key):
        loads.append(key)
        await turns()
        return key

    async def ask():
        answers.append(await load("a"))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(ask)
    assert answers == ["a"] * 4
    assert await Cache().get_or_load("b", load) == "b"
    assert loads == ["a", "b"]


@under_trio
async def test_a_load_ends_when_the_last_caller_leaves():
    ended = []
    started = anyio.Event()

    @cache
    async def load(key):
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(key)

    async with anyio.create_task_group() as group:
        group.start_soon(load, "a")
        await started.wait()
        group.cancel_scope.cancel()
    await turns()
    assert ended == ["a"]


@under_trio
async def test_failed_and_recursive_loads_raise():
    @cache
    async def fail(key):
        await turns()
        raise KeyError(key)

    @cache
    async def ask_again(key):
        return await ask_again(key)

    with pytest.raises(KeyError):
        await fail("a")
    with pytest.raises(CacheRecursionError):
        await ask_again("a")


@pytest.mark.parametrize("policy", [timeout(1.0), hedge(1.0)])
def test_what_needs_asyncio_says_so(policy):
    with pytest.raises(RuntimeError, match="asyncio"):
        trio.run(policy(turns))


def test_deadlines_and_batchers_say_that_they_need_asyncio():
    async def bounded():
        async with deadline(1.0):
            await turns()

    async def batch():
        await RequestBatcher().add_request(1, 1)

    for needs_asyncio in (bounded, batch):
        with pytest.raises(RuntimeError, match="asyncio"):
            trio.run(needs_asyncio)
