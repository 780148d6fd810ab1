"""Eager tasks (Python 3.12) run their first step before ``create_task`` returns: a load asked for itself for ever."""

import asyncio

import pytest

from resilience import Cache, Pipeline, RequestBatcher, bulkhead, cache, hedge, retry
from resilience.errors import BatcherClosedError, CacheRecursionError

pytestmark = pytest.mark.skipif(
    not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12"
)


@pytest.fixture(autouse=True)
async def eager():
    """Make every task of the test's loop an eager one."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


async def test_a_load_that_asks_for_its_own_key_is_refused():
    @cache
    async def ask_again(key):
        return await ask_again(key)

    with pytest.raises(CacheRecursionError):
        await ask_again("a")
    loads = Cache()
    with pytest.raises(CacheRecursionError):
        await loads.get_or_load("a", lambda: loads.get_or_load("a", lambda: 1))


async def test_loads_that_ask_for_each_other_are_refused():
    @cache
    async def one(key):
        return await other(key)

    @cache
    async def other(key):
        await asyncio.sleep(0)
        return await one(key)

    with pytest.raises(CacheRecursionError):
        await one("a")


async def test_a_load_that_never_waits_is_kept():
    loads = []

    @cache
    async def load(key):
        loads.append(key)
        return key

    assert await asyncio.gather(*(asyncio.create_task(load("a")) for _ in range(3))) == ["a"] * 3
    assert loads == ["a"]


async def test_a_batch_that_never_waits_answers_everybody():
    async with RequestBatcher(2, 1000, lambda items: items) as batcher:
        assert await asyncio.gather(*(batcher.add_request(i, i) for i in range(4))) == [0, 1, 2, 3]


async def test_closing_without_draining_runs_nothing_that_waits():
    ran = []
    batcher = RequestBatcher(10, 1000, ran.append)
    waiting = batcher.add_request(1, 1)
    await batcher.close(drain=False)
    with pytest.raises(BatcherClosedError):
        await waiting
    assert ran == []


async def test_policies_take_eager_tasks():
    async def call(value):
        await asyncio.sleep(0)
        return value

    pipeline = Pipeline(
        total_timeout=60.0,
        retry=retry(on=ValueError),
        hedge=hedge(60.0),
        bulkhead=bulkhead(1, max_waiting=9),
        timeout=60.0,
    )
    tasks = [asyncio.create_task(pipeline.call(call, i)) for i in range(5)]
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]


async def test_a_batch_function_does_not_run_inside_of_add_request():
    ran = []

    async def run(items):
        ran.extend(items)
        return items

    batcher = RequestBatcher(1, 1000, run)
    first = batcher.add_request(1, 1)
    assert ran == []
    second = batcher.add_request(2, 2)
    second.cancel()
    assert await first == 1
    assert ran == [1]
    await batcher.close()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_batch_function_that_ends_the_program_does(end):
    async def leave(items):
        raise end

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await RequestBatcher(1, 1000, leave).add_request(1, 1)

    with pytest.raises(end):
        asyncio.run(main())
