"""Timeouts: when they fire, what they cost, and what they refuse."""

import asyncio
import gc
import random
import weakref

import pytest

from resilience import CallTimeoutError, Pipeline, timeout
from resilience._core import TimeoutQueue
from resilience.testing import ManualClock
from support.policies import Gate
from support.until import settle


async def test_a_call_that_takes_too_long_is_ended_and_says_so():
    clock = ManualClock()
    task = asyncio.create_task(timeout(5.0, name="llm", clock=clock).call(Gate()))
    await settle()
    clock.advance(5.0)
    with pytest.raises(CallTimeoutError, match="'llm' timed out after 5 s") as caught:
        await task
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert task.cancelling() == 0


async def test_it_never_fires_early():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)
    tasks = []
    for _ in range(50):
        tasks.append(asyncio.create_task(policy.call(Gate())))
        await settle()
        clock.advance(0.05)
    for i, task in enumerate(tasks):
        clock.advance(5.0 + 0.05 * i - clock.now() - 1e-9)
        await settle()
        assert not task.done()
        clock.advance(1e-9)
        await settle()
        assert isinstance(task.exception(), CallTimeoutError)


async def test_calls_that_end_in_time_leave_nothing_behind():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)
    gate = Gate()
    tasks = [asyncio.create_task(policy.call(gate, i)) for i in range(100)]
    await settle()
    gate.open()
    assert await asyncio.gather(*tasks) == list(range(100))
    clock.advance(10.0)
    await settle()
    assert all(task.cancelling() == 0 for task in tasks)


async def test_a_call_that_never_suspends_arms_no_timer():
    clock = ManualClock()
    timers = []
    loop = asyncio.get_running_loop()
    original = loop.call_later

    def call_later(*args, **kwargs):
        timers.append(args)
        return original(*args, **kwargs)

    loop.call_later = call_later

    async def quick():
        return 1

    assert await timeout(5.0).call(quick) == 1
    assert await timeout(5.0, clock=clock).call(quick) == 1
    assert not timers


async def test_calls_of_one_policy_share_one_loop_timer():
    loop = asyncio.get_running_loop()
    timers = []
    original = loop.call_later

    def call_later(*args, **kwargs):
        timers.append(args)
        return original(*args, **kwargs)

    loop.call_later = call_later
    policy, gate = timeout(60.0), Gate()
    tasks = [asyncio.create_task(policy.call(gate)) for _ in range(100)]
    await settle()
    gate.open()
    await asyncio.gather(*tasks)
    assert len(timers) == 1


async def test_a_hundred_thousand_timers_come_and_go():
    clock = ManualClock()
    queue = TimeoutQueue(5.0, clock)
    rng = random.Random(3)
    scopes = [queue.arm() for _ in range(100_000)]
    rng.shuffle(scopes)
    assert not any(scope.finish() for scope in scopes)
    clock.advance(10.0)
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12])
def test_seconds_out_of_range_are_refused(seconds):
    with pytest.raises(ValueError, match="seconds"):
        timeout(seconds)


def test_nothing_given_and_wrong_types_are_refused():
    with pytest.raises(ValueError, match="one of seconds, first_item and idle"):
        timeout()
    with pytest.raises(TypeError, match="seconds"):
        timeout("5")
    with pytest.raises(TypeError, match="clock"):
        timeout(5, clock=3)


def test_plain_functions_are_refused_at_decoration():
    with pytest.raises(TypeError, match="timeout needs an async function"):

        @timeout(5.0)
        def plain():
            """Never made."""

    with pytest.raises(TypeError, match="total_timeout needs an async function"):
        Pipeline(total_timeout=3.0)(lambda: 3)
    with pytest.raises(TypeError, match="plain function"):
        timeout(5.0).call_sync(lambda: 3)


def test_timeouts_of_items_are_for_streams():
    with pytest.raises(TypeError, match="async generator"):

        @timeout(first_item=1.0)
        async def coroutine():
            """Never made."""


def test_without_asyncio_it_says_what_it_needs():
    async def suspends():
        class Once:
            def __await__(self):
                yield

        await Once()

    with pytest.raises(RuntimeError, match="need a running asyncio event loop"):
        timeout(5.0).call(suspends).send(None)


def test_a_loop_that_closes_with_timers_armed_leaves_nothing():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)
    loop = asyncio.new_event_loop()

    async def abandon():
        task = asyncio.create_task(policy.call(Gate()))
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loop.run_until_complete(abandon())
    loop.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None
    clock.advance(10.0)
    assert asyncio.run(policy.call(answer)) == 42


async def answer():
    await asyncio.sleep(0)
    return 42
