"""The native awaitable behaves as the coroutine of the function it guards."""

import asyncio
import collections.abc
import gc
import inspect
import weakref

import anyio
import pytest

from resilience import CircuitBreaker
from resilience.testing import ManualClock


@pytest.fixture
def breaker():
    return CircuitBreaker("calls", clock=ManualClock(), recovery_jitter=0.0)


async def answer(value: int = 1, *rest: int, key: str = "k") -> tuple[int, tuple[int, ...], str]:
    """Give back what came."""
    await asyncio.sleep(0)
    return value, rest, key


async def test_asyncio_takes_it_for_a_coroutine(breaker):
    guarded = breaker(answer)
    call = guarded()
    assert isinstance(call, collections.abc.Coroutine)
    assert asyncio.iscoroutine(call)
    call.close()
    assert (await asyncio.create_task(guarded(2)))[0] == 2
    assert (await asyncio.wait_for(guarded(3), 5))[0] == 3
    assert [r[0] for r in await asyncio.gather(guarded(4), guarded(5))] == [4, 5]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(guarded(6))
    assert task.result()[0] == 6
    async with asyncio.timeout(5):
        assert (await guarded(7))[0] == 7
    with anyio.fail_after(5):
        assert (await guarded(8))[0] == 8


def test_uvloop_takes_it_for_a_coroutine(breaker):
    uvloop = pytest.importorskip("uvloop", reason="uvloop has no build for this interpreter")

    async def main():
        return await asyncio.gather(breaker(answer)(1), asyncio.create_task(breaker(answer)(2)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [r[0] for r in runner.run(main())] == [1, 2]


def test_calling_changes_nothing_until_the_first_step(breaker):
    breaker.force_open()
    call = breaker(answer)()
    assert breaker.get_stats()["totals"]["rejected"] == 0
    call.close()
    assert breaker.get_stats()["totals"]["rejected"] == 0


def test_send_throw_and_close_behave_as_a_coroutines(breaker):
    guarded = breaker(answer)
    for coroutine in (answer, guarded):
        call = coroutine()
        with pytest.raises(TypeError, match="just-started"):
            call.send(1)
        assert call.send(None) is None
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        assert stop.value.value == (1, (), "k")
        with pytest.raises(RuntimeError, match="cannot reuse"):
            call.send(None)
        thrown = coroutine()
        thrown.send(None)
        with pytest.raises(KeyError):
            thrown.throw(KeyError("thrown"))
        closed = coroutine()
        closed.send(None)
        closed.close()
        closed.close()
        unstarted = coroutine()
        with pytest.raises(ZeroDivisionError):
            unstarted.throw(ZeroDivisionError)


def test_a_function_that_will_not_end_is_reported_as_for_a_coroutine(breaker):
    @breaker
    async def stubborn():
        try:
            await asyncio.sleep(0)
        except GeneratorExit:
            await asyncio.sleep(0)

    call = stubborn()
    call.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        call.close()


def test_awaiting_twice_is_an_error(breaker):
    call = breaker(answer)()
    call.send(None)
    with pytest.raises(RuntimeError, match="awaited already"):
        call.__await__()
    call.close()


@pytest.mark.parametrize("keeps_arguments", [False, True])
def test_never_awaited_is_warned_of_once_with_the_functions_name(keeps_arguments):
    fallback = {"fallback": lambda: None} if keeps_arguments else {}
    guarded = CircuitBreaker(**fallback)(answer)
    with pytest.warns(RuntimeWarning, match="coroutine 'answer' was never awaited") as caught:
        guarded()
    assert len(caught) == 1


def test_an_await_driven_by_hand_works_like_a_coroutines(breaker):
    class Wrapper:
        def __await__(self):
            return (yield from breaker(answer)(3).__await__())

    async def main():
        return await Wrapper()

    assert asyncio.run(main())[0] == 3


async def test_results_and_arguments_are_not_kept_alive(breaker):
    class Big:
        pass

    references = []

    @breaker
    async def make(argument):
        references.append(weakref.ref(argument))
        result = Big()
        references.append(weakref.ref(result))
        return result

    for _ in range(3):
        await make(Big())
    assert all(reference() is None for reference in references)


async def test_an_error_is_the_same_object_with_no_frame_of_the_library(breaker):
    error = ValueError("mine")

    @breaker
    async def fail():
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        await fail()
    assert caught.value is error
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames == ["test_an_error_is_the_same_object_with_no_frame_of_the_library", "fail"]


async def test_a_suspended_call_that_is_dropped_gives_its_permit_back(breaker):
    cleaned = []

    @breaker
    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)

    for _ in range(3):
        call = wait()
        call.send(None)
        del call
        gc.collect()
    assert cleaned == [1, 1, 1]
    assert breaker.get_stats()["totals"]["cancelled"] == 3


def test_a_cycle_through_a_suspended_call_is_collected(breaker):
    class Owner:
        call = None

    async def wait(_owner):
        await asyncio.sleep(0)

    owner = Owner()
    owner.call = breaker.call(wait, owner)
    owner.call.send(None)
    reference = weakref.ref(owner)
    del owner
    gc.collect()
    assert reference() is None


def test_a_cycle_through_a_call_never_started_is_collected():
    guarded = CircuitBreaker(fallback=lambda _owner: None)(answer)

    class Owner:
        call = None

    owner = Owner()
    owner.call = guarded(owner)
    reference = weakref.ref(owner)
    del owner
    with pytest.warns(RuntimeWarning, match="never awaited"):
        gc.collect()
    assert reference() is None


async def test_recycled_calls_found_through_the_collector_are_harmless(breaker):
    guarded = breaker(answer)
    for _ in range(10):
        await guarded()
    kind = type(call := guarded())
    call.close()
    idle = [o for o in gc.get_objects() if type(o) is kind]
    assert idle
    for found in idle:
        assert "guarded call" in repr(found)
        assert found.cr_frame is None
        with pytest.raises(RuntimeError):
            found.send(None)
    assert (await asyncio.gather(*(guarded(i) for i in range(100))))[99][0] == 99


def test_introspection_sees_through_it(breaker):
    guarded = breaker(answer)
    call = guarded()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
    call.send(None)
    assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
    assert call.cr_code is answer.__code__
    assert call.cr_frame.f_code is answer.__code__
    assert call.cr_await is not None
    assert call.__name__ == "answer"
    call.close()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED


async def test_task_stacks_show_the_guarded_function(breaker):
    @breaker
    async def deep():
        await asyncio.Event().wait()

    task = asyncio.create_task(deep())
    await asyncio.sleep(0)
    assert [frame.f_code.co_name for frame in task.get_stack()][-1] == "deep"
    assert "deep" in repr(task)
    task.cancel()
    await asyncio.wait([task])


async def test_awaitables_that_are_no_coroutines_can_be_guarded(breaker):
    def later():
        future = asyncio.get_running_loop().create_future()
        future.set_result("future")
        return future

    assert await breaker.call(later) == "future"
    with pytest.raises(TypeError, match="await"):
        await breaker.call(lambda: 3)
