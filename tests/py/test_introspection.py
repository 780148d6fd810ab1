"""Guarded calls look like coroutines to whoever looks: asyncio, inspect, tracebacks, pickle."""

import asyncio
import gc
import inspect
import pickle
import sys
import traceback
import warnings
import weakref

import pytest

from resilience import CircuitBreaker, CircuitOpenError, ConfigError, cache, errors
from resilience.testing import ManualClock


@pytest.fixture
def breaker():
    return CircuitBreaker("seen", clock=ManualClock())


async def innermost(gate):
    await gate.wait()
    return "done"


async def middle(gate):
    return await innermost(gate)


async def test_the_chain_of_awaits_can_be_followed_through_it(breaker):
    gate = asyncio.Event()
    call = breaker(middle)(gate)
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    assert call.cr_code is middle.__code__
    assert call.cr_frame.f_code is middle.__code__
    assert call.cr_await.cr_code is innermost.__code__
    assert call.cr_running is False
    gate.set()
    assert await task == "done"


async def test_inspect_tells_its_state(breaker):
    gate = asyncio.Event()
    states = []

    @breaker
    async def look():
        states.append(inspect.getcoroutinestate(call))
        await gate.wait()

    call = look()
    states.append(inspect.getcoroutinestate(call))
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    states.append(inspect.getcoroutinestate(call))
    gate.set()
    await task
    states.append(inspect.getcoroutinestate(call))
    assert states == [
        inspect.CORO_CREATED,
        inspect.CORO_RUNNING,
        inspect.CORO_SUSPENDED,
        inspect.CORO_CLOSED,
    ]


@pytest.mark.parametrize("settings", [{"fallback": lambda gate: None}, {}], ids=["with a fallback", "plain"])
async def test_a_call_not_begun_shows_the_frame_it_will_have(settings):
    call = CircuitBreaker("seen", **settings)(middle)(None)
    assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
    assert call.cr_frame.f_code is middle.__code__
    call.close()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED


async def test_task_stacks_and_representations_name_the_users_code(breaker):
    gate = asyncio.Event()
    task = asyncio.create_task(breaker(middle)(gate))
    await asyncio.sleep(0)
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["middle"]
    assert "middle" in repr(task)
    gate.set()
    await task


async def test_debug_mode_knows_where_a_call_was_made(breaker):
    assert asyncio.get_running_loop().get_debug()
    sys.set_coroutine_origin_tracking_depth(3)
    try:
        call = breaker(middle)(asyncio.Event())
    finally:
        sys.set_coroutine_origin_tracking_depth(0)
    assert any(name == "test_debug_mode_knows_where_a_call_was_made" for _, _, name in call.cr_origin)
    call.close()


@pytest.mark.parametrize("settings", [{}, {"fallback": lambda gate: None}], ids=["plain", "with a fallback"])
def test_a_call_never_awaited_is_warned_of_once_by_name(settings):
    breaker = CircuitBreaker("seen", **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        breaker(middle)(None)
        gc.collect()
    assert [str(each.message) for each in caught] == ["coroutine 'middle' was never awaited"]


def own_frames(error):
    return [frame for frame in traceback.extract_tb(error.__traceback__) if "/resilience/" in frame.filename]


async def test_no_frame_of_the_library_stands_between_caller_and_function(breaker):
    async def fail():
        raise OSError("down")

    with pytest.raises(OSError, match="down") as caught:
        await breaker(fail)()
    assert own_frames(caught.value) == []
    with pytest.raises(OSError, match="down") as caught:
        await breaker.call(fail)
    assert own_frames(caught.value) == []
    with pytest.raises(ValueError, match="invalid literal") as caught_sync:
        breaker.call_sync(int, "x")
    assert own_frames(caught_sync.value) == []


async def test_tracebacks_of_rejections_do_not_grow_and_keep_nothing_alive(breaker):
    breaker.force_open()
    lengths = set()
    seen = None

    @breaker
    async def guarded(value):
        return value

    class Argument:
        pass

    for _ in range(5):
        argument = Argument()
        seen = weakref.ref(argument)
        try:
            await guarded(argument)
        except CircuitOpenError as error:
            lengths.add(len(traceback.extract_tb(error.__traceback__)))
        del argument
    assert lengths == {1}
    gc.collect()
    assert seen is not None
    assert seen() is None


MADE = {
    errors.ResilienceError: ("text",),
    errors.RejectedError: ("name", 1.5),
    errors.CircuitOpenError: ("name", 1.5),
    errors.CallTimeoutError: ("name", 2.0),
    errors.BulkheadFullError: ("name", None),
    errors.RateLimitedError: (0.1,),
    errors.RetryBudgetExhaustedError: ("name",),
    errors.BatchError: ("text",),
    errors.BatchQueueFullError: ("name", None),
    errors.BatcherClosedError: ("name", None),
    errors.CacheRecursionError: ("text",),
    ConfigError: ("breakers.llm", 3, "must be above 0"),
    errors.AllProvidersFailedError: ([("one", OSError("down"))],),
}


def test_no_public_error_is_left_out_below():
    public = {
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    }
    assert public == set(MADE)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind, protocol):
    error = kind(*MADE[kind])
    error.add_note("noted")
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert repr(copy.args) == repr(error.args)
    assert copy.__notes__ == ["noted"]


async def test_a_rejection_made_by_the_core_pickles(breaker):
    breaker.trip(7)
    with pytest.raises(CircuitOpenError) as caught:
        await breaker(middle)(None)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.name, copy.retry_after) == ("seen", 7.0)


async def test_a_cached_call_shows_its_state_as_a_coroutine_does():
    @cache
    async def load(key):
        await asyncio.sleep(0)
        return key

    call = load("a")
    assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
    assert call.cr_frame.f_locals == {"key": "a"}
    call.send(None)
    assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
    call.close()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
    assert call.cr_frame is None
    wrong = load("a", "b")
    assert wrong.cr_frame is None
    with pytest.raises(TypeError):
        await wrong
