"""What add_request returns is a future as asyncio knows them, in all that awaiters and tools look at."""

import asyncio
import contextvars
import gc
import inspect
import traceback
import weakref
from collections.abc import Awaitable, Coroutine

import pytest

from resilience import RequestBatcher
from resilience.testing import ManualClock
from support.batches import PoisonedError, Recorder, add_many, poisoned_by
from support.until import settle


def make(size=10, process=None, **settings):
    return RequestBatcher(size, 50, process or Recorder(), clock=ManualClock(), **settings)


async def test_it_is_a_future_and_no_coroutine():
    future = make().add_request(1, 1)
    assert asyncio.isfuture(future)
    assert inspect.isawaitable(future)
    assert isinstance(future, Awaitable)
    assert not isinstance(future, Coroutine)
    assert not asyncio.iscoroutine(future)
    assert asyncio.ensure_future(future) is future
    assert future.get_loop() is asyncio.get_running_loop()
    future.cancel()


async def test_gather_and_wait_make_no_task_of_it():
    batcher = make(2)
    before = asyncio.all_tasks()
    gathering = asyncio.gather(batcher.add_request(1, 1))
    waiting = batcher.add_request(2, 2)
    assert asyncio.all_tasks() - before == set(batcher._tasks)
    done, pending = await asyncio.wait([waiting])
    assert (done, pending) == ({waiting}, set())
    assert await gathering == [10]


async def test_wait_for_times_out_and_takes_the_item_out_of_its_batch():
    batcher = make()
    future = batcher.add_request(1, 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(future, 0)
    assert future.cancelled()
    assert batcher.get_metrics()["pending_requests"] == 0


async def test_shield_keeps_the_item_in_its_batch():
    batcher = make(2)
    inner = batcher.add_request(1, 1)
    outer = asyncio.shield(inner)
    outer.cancel()
    second = batcher.add_request(2, 2)
    assert await asyncio.gather(inner, second) == [10, 20]


async def test_as_completed_and_task_groups_take_it():
    batcher = make(2)
    results = [await each for each in asyncio.as_completed(add_many(batcher, [1, 2]))]
    assert sorted(results) == [10, 20]

    async def wait(future):
        return await future

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(future)) for future in add_many(batcher, [3, 4])]
    assert [task.result() for task in tasks] == [30, 40]


async def test_many_may_await_one_future_and_again_when_it_is_done():
    batcher = make(1)
    future = batcher.add_request(1, 1)

    async def wait():
        return await future

    assert await asyncio.gather(wait(), wait(), future) == [10, 10, 10]
    assert await future == 10


async def test_result_and_exception_follow_its_state():
    process, _ = poisoned_by(2)
    batcher = make(1, process)
    fine = batcher.add_request(1, 1)
    assert not fine.done()
    with pytest.raises(asyncio.InvalidStateError):
        fine.result()
    with pytest.raises(asyncio.InvalidStateError):
        fine.exception()
    await fine
    assert fine.done()
    assert fine.result() == 10
    assert fine.exception() is None
    failed = batcher.add_request(2, 2)
    await asyncio.wait([failed])
    assert isinstance(failed.exception(), PoisonedError)
    with pytest.raises(PoisonedError):
        failed.result()
    for setter in (fine.set_result, fine.set_exception):
        with pytest.raises(RuntimeError, match="settled by its batch alone"):
            setter(3)


async def test_cancelling_carries_its_message_and_happens_once():
    future = make().add_request(1, 1)
    assert future.cancel("enough")
    assert not future.cancel()
    assert future.cancelled()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await future
    with pytest.raises(asyncio.CancelledError):
        future.exception()
    again = make().add_request(1, 1)
    assert again.cancel(msg="named")
    with pytest.raises(asyncio.CancelledError, match="named"):
        again.result()
    with pytest.raises(TypeError):
        again.cancel(message="wrong")


async def test_cancelling_the_awaiting_task_cancels_the_future():
    batcher = make()

    async def wait():
        return await batcher.add_request(1, 1)

    task = asyncio.create_task(wait())
    await settle()
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert batcher.get_metrics()["cancelled"] == 1


async def test_each_callback_runs_in_its_own_context():
    variable = contextvars.ContextVar("variable", default="none")
    seen = []
    batcher = make(2)
    first, second = add_many(batcher, [1, 2])
    for name, future in (("a", first), ("b", second)):
        context = contextvars.copy_context()
        context.run(variable.set, name)
        future.add_done_callback(lambda _: seen.append(variable.get()), context=context)
    token = variable.set("mine")
    first.add_done_callback(lambda _: seen.append(variable.get()))
    variable.reset(token)
    await asyncio.gather(first, second)
    assert sorted(seen) == ["a", "b", "mine"]
    assert variable.get() == "none"


async def test_the_function_sees_no_callers_context():
    variable = contextvars.ContextVar("variable", default="none")

    async def process(items):
        return [variable.get()] * len(items)

    variable.set("a caller's")
    assert await make(1, process).add_request(1, 1) == "none"


async def test_callbacks_run_in_order_and_can_be_removed():
    seen = []

    def removed(_):
        seen.append("removed")

    batcher = make(2)
    first, second = add_many(batcher, [1, 2])
    first.add_done_callback(removed)
    first.add_done_callback(lambda _: seen.append(1))
    first.add_done_callback(removed)
    first.add_done_callback(lambda _: seen.append(2))
    second.add_done_callback(lambda _: seen.append(3))
    assert first.remove_done_callback(removed) == 2
    assert first.remove_done_callback(removed) == 0
    assert len(first._callbacks) == 2
    await asyncio.gather(first, second)
    assert seen == [1, 2, 3]
    first.add_done_callback(lambda _: seen.append(4))
    assert seen == [1, 2, 3]
    await settle()
    assert seen == [1, 2, 3, 4]
    with pytest.raises(TypeError):
        first.add_done_callback()


async def test_a_callback_that_raises_is_reported_and_harms_no_other():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, details: reported.append(details))
    batcher = make(2)
    first, second = add_many(batcher, [1, 2])
    first.add_done_callback(lambda _: 1 / 0)
    assert await asyncio.gather(first, second) == [10, 20]
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_callback_that_ends_the_program_leaves_the_rest_scheduled(error):
    seen = []
    loop = asyncio.new_event_loop()

    def end(_):
        raise error

    async def main():
        batcher = make(3)
        futures = add_many(batcher, [1, 2, 3])
        futures[0].add_done_callback(end)
        for future in futures[1:]:
            future.add_done_callback(lambda future: seen.append(future.result()))
        await asyncio.gather(*futures)

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    loop.run_until_complete(task)
    assert seen == [20, 30]
    loop.close()


async def test_an_exception_that_nobody_retrieves_is_reported():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, details: reported.append(details))
    process, _ = poisoned_by(1)
    batcher = make(1, process)
    future = batcher.add_request(1, 1)
    await settle()
    assert future.done()
    del future
    gc.collect()
    assert "never retrieved" in reported[0]["message"]
    assert isinstance(reported[0]["exception"], PoisonedError)


async def test_reusing_memory_reports_no_less():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, details: reported.append(details["message"]))
    process, _ = poisoned_by(1)
    batcher = make(1, process)
    for _ in range(10):
        batcher.add_request(1, 1)
        await settle()
        gc.collect()
    assert len(reported) == 10


async def test_a_retrieved_exception_is_not_reported():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, details: reported.append(details))
    process, _ = poisoned_by(1)
    results = await asyncio.gather(*add_many(make(1, process), [1, 1, 1]), return_exceptions=True)
    del results
    gc.collect()
    assert reported == []


async def test_it_shows_itself_as_a_future():
    batcher = make(1, name="shown")
    future = batcher.add_request(1, 1)
    assert repr(future) == "<BatchFuture pending>"
    assert future._state == "PENDING"
    assert future._callbacks is None
    await future
    assert repr(future) == "<BatchFuture finished result=10>"
    assert future._state == "FINISHED"
    assert (future._result, future._exception) == (10, None)
    cancelled = make().add_request(1, 1)
    cancelled.cancel()
    assert repr(cancelled) == "<BatchFuture cancelled>"
    assert future._loop is asyncio.get_running_loop()
    assert type(future)[int]


async def test_task_stacks_reach_through_it():
    batcher = make()

    async def wait():
        return await batcher.add_request(1, 1)

    task = asyncio.create_task(wait())
    await settle()
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait"]
    assert task._fut_waiter is not None
    task.cancel()
    await asyncio.wait([task])


async def test_tracebacks_do_not_grow_with_retries():
    process, _ = poisoned_by(1)
    batcher = make(1, process)
    future = batcher.add_request(1, 1)
    lengths = set()
    for _ in range(5):
        try:
            await future
        except PoisonedError as error:
            lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(lengths) == 1


async def test_awaiting_outside_of_a_task_says_so():
    future = make().add_request(1, 1)
    steps = future.__await__()
    assert next(steps) is future
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(steps)
    future.cancel()


async def test_it_lets_go_of_payload_and_result():
    class Payload:
        pass

    batcher = make(1, lambda items: [Payload() for _ in items])
    payload = Payload()
    gone = [weakref.ref(payload)]
    future = batcher.add_request(1, payload)
    del payload
    gone.append(weakref.ref(await future))
    assert weakref.ref(future)() is future
    del future
    await settle()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


async def test_a_hundred_thousand_random_cancels_lose_nothing():
    import random

    draw = random.Random(20)
    clock = ManualClock()
    batcher = RequestBatcher(16, 10, lambda items: items, max_concurrent_batches=2, clock=clock)
    answered = cancelled = 0
    for _ in range(1000):
        futures = add_many(batcher, range(100))
        for future in draw.sample(futures, 30):
            future.cancel()
        if draw.random() < 0.5:
            await asyncio.sleep(0)
        for future in draw.sample(futures, 20):
            future.cancel()
        clock.advance(0.01)
        await asyncio.wait(futures)
        cancelled += sum(future.cancelled() for future in futures)
        answered += sum(not future.cancelled() and future.result() in range(100) for future in futures)
    assert answered + cancelled == 100_000
    metrics = batcher.get_metrics()
    assert metrics["pending_requests"] == metrics["in_flight"] == 0
