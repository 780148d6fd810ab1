"""A timeout beside other cancels: of callers, of asyncio's own timeouts, of task groups and of anyio."""

import asyncio

import anyio
import pytest

from resilience import CallTimeoutError, timeout
from resilience.testing import ManualClock
from support.policies import Gate
from support.until import settle


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
