"""Timeouts: when they fire, what they leave alone, and whom they blame."""

import asyncio
import gc
import random
import weakref

import anyio
import pytest

from policy_support import Gate, settle
from resilience import CallTimeoutError, Pipeline, bulkhead, deadline, fallback, remaining, timeout
from resilience._core import TimeoutQueue
from resilience.testing import ManualClock


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


async def test_an_outer_cancel_stays_a_cancel():
    clock = ManualClock()
    task = asyncio.create_task(timeout(5.0, clock=clock).call(Gate()))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_cancel_and_a_timeout_in_the_same_pass_are_a_cancel(cancel_first):
    clock = ManualClock()
    task = asyncio.create_task(timeout(5.0, clock=clock).call(Gate()))
    await settle()
    if cancel_first:
        task.cancel()
        clock.advance(5.0)
    else:
        clock.advance(5.0)
        task.cancel()
    await settle()
    assert task.cancelled()


async def test_a_result_in_the_same_pass_as_the_timer_does_what_asyncio_does():
    async def race(guarded):
        clock = ManualClock()
        future = asyncio.get_running_loop().create_future()

        async def wait():
            return await future

        if guarded:
            task = asyncio.create_task(timeout(5.0, clock=clock).call(wait))
        else:

            async def plain():
                async with asyncio.timeout(3600) as scope:
                    scopes.append(scope)
                    return await wait()

            scopes = []
            task = asyncio.create_task(plain())
        await settle()
        future.set_result(1)
        if guarded:
            clock.advance(5.0)
        else:
            scopes[0]._on_timeout()
        await settle()
        return type(task.exception()).__mro__[1:] and isinstance(task.exception(), TimeoutError)

    assert await race(guarded=True) == await race(guarded=False)


async def test_nested_asyncio_timeouts_keep_their_own():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)

    async def outer_expires():
        async with asyncio.timeout(0):
            await policy.call(Gate())

    with pytest.raises(TimeoutError) as caught:
        await outer_expires()
    assert not isinstance(caught.value, CallTimeoutError)

    async def inner_expires():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        await policy.call(inner_expires)
    assert not isinstance(caught.value, CallTimeoutError)


async def test_nested_timeouts_blame_the_one_whose_time_was_up():
    clock = ManualClock()
    inner, outer = timeout(2.0, name="inner", clock=clock), timeout(5.0, name="outer", clock=clock)
    for first, second, blamed in ((outer, inner, "inner"), (inner, outer, "inner")):
        task = asyncio.create_task(first.call(second.call, Gate()))
        await settle()
        clock.advance(2.0)
        with pytest.raises(CallTimeoutError) as caught:
            await task
        assert caught.value.name == blamed


async def test_a_task_group_that_is_torn_down_sees_cancels_and_no_timeouts():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)
    seen = []

    async def member():
        try:
            await policy.call(Gate())
        except BaseException as error:
            seen.append(type(error))
            raise

    async def fail():
        await settle()
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            group.create_task(fail())
    assert caught.value.subgroup(CallTimeoutError) is None
    assert seen == [asyncio.CancelledError]


async def test_a_timeout_in_a_task_group_fails_the_group_with_itself():
    clock = ManualClock()

    async def advance():
        await settle()
        clock.advance(5.0)

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(timeout(5.0, clock=clock).call(Gate()))
            group.create_task(advance())
    assert [type(error) for error in caught.value.exceptions] == [CallTimeoutError]


async def test_anyio_cancel_scopes_are_left_alone():
    clock = ManualClock()
    policy = timeout(5.0, clock=clock)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await policy.call(Gate())
    assert scope.cancelled_caught
    with anyio.move_on_after(0) as scope:
        await policy.call(Gate())
    assert scope.cancelled_caught
    task = asyncio.current_task()
    assert task.cancelling() == 0


async def test_code_that_swallows_the_cancel_ends_as_it_does_under_asyncio():
    clock = ManualClock()

    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "swallowed"

    task = asyncio.create_task(timeout(5.0, clock=clock).call(stubborn))
    await settle()
    clock.advance(5.0)
    assert await task == "swallowed"
    assert task.cancelling() == 0


async def test_an_error_while_it_is_cancelled_is_the_callers():
    clock = ManualClock()

    async def cleans_up_badly():
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    task = asyncio.create_task(timeout(5.0, clock=clock).call(cleans_up_badly))
    await settle()
    clock.advance(5.0)
    with pytest.raises(ValueError, match="while cleaning up"):
        await task
    assert task.cancelling() == 0


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
