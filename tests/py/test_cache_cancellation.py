"""Who is cancelled when: leader, follower and all, before, during and after the load, with and without an
invalidation, in one event loop and in two.
"""

import asyncio
import itertools
import threading

import pytest

from resilience import Cache, cache

WHO = ("leader", "follower", "all")
WHEN = ("before", "during", "after")


class Load:
    """A load that is held at a gate and says what became of it."""

    def __init__(self):
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        self.gates = []

    async def __call__(self):
        self.started += 1
        number = self.started
        gate = asyncio.Event()
        self.gates.append(gate)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return number

    def release(self):
        for gate in self.gates:
            gate.set()


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def victims_of(who, tasks):
    return {"leader": tasks[:1], "follower": tasks[1:2], "all": tasks}[who]


async def cancel(victims):
    for task in victims:
        task.cancel()
    await settle()


async def play(load, call, who, when, invalidate):
    """Three callers of one key, some of them cancelled at some time; checks what becomes of each."""
    tasks = [asyncio.create_task(call()) for _ in range(3)]
    victims = victims_of(who, tasks)
    if when == "before":  # before their first step
        for task in victims:
            task.cancel()
    await settle()
    invalidate()
    if when == "during":
        await cancel(victims)
    load.release()
    if when == "after":  # the load is over, its callers haven't run yet
        while load.finished == 0:
            await asyncio.sleep(0)
        await cancel(victims)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    check_results(tasks, victims, results)


def nothing():
    pass


def check_results(tasks, victims, results):
    for task, result in zip(tasks, results, strict=True):
        if task in victims:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert result == 1, "nobody else was disturbed"


async def check_afterwards(f, load, who, when, invalidate):
    abandoned = who == "all" and when == "during"
    never = who == "all" and when == "before"
    assert load.started == (0 if never else 1)
    assert load.cancelled == (1 if abandoned else 0)
    kept = not (abandoned or never or invalidate)
    assert len(f.cache) == (1 if kept else 0)
    again = asyncio.create_task(f(1))
    await settle()
    load.release()
    assert await asyncio.wait_for(again, 5) == (1 if kept else load.started)
    assert load.started == (0 if never else 1) + (0 if kept else 1)
    assert len(f.cache) == 1


@pytest.mark.parametrize(("who", "when", "invalidate"), list(itertools.product(WHO, WHEN, (False, True))))
async def test_the_matrix_in_one_loop(who, when, invalidate):
    load = Load()

    @cache
    async def f(_key):
        return await load()

    await play(load, lambda: f(1), who, when, (lambda: f.invalidate(1)) if invalidate else nothing)
    await check_afterwards(f, load, who, when, invalidate)
    assert await f(1) == load.started, "and what was loaded last is kept"


@pytest.mark.parametrize(("who", "when", "invalidate"), list(itertools.product(WHO, WHEN, (False, True))))
def test_the_matrix_in_two_loops(who, when, invalidate):
    """The same in one loop, while another has a load of the same key under way that nothing of it disturbs."""
    shared = Cache(10)
    holding, done = threading.Event(), threading.Event()
    other_result = []

    @cache(backend=shared, ignore=("load",))
    async def f(_key, load):
        return await load()

    async def other():
        load = Load()
        task = asyncio.create_task(f(1, load))
        await settle()
        holding.set()
        while not done.is_set():
            await asyncio.sleep(0)
        assert load.cancelled == 0
        load.release()
        other_result.append(await task)

    async def main():
        load = Load()
        await play(load, lambda: f(1, load), who, when, shared.clear if invalidate else nothing)
        kept = not (invalidate or (who == "all" and when != "after"))
        assert len(shared) == (1 if kept else 0)

    thread = threading.Thread(target=lambda: asyncio.run(other()))
    thread.start()
    assert holding.wait(10)
    try:
        asyncio.run(main())
    finally:
        done.set()
        thread.join(10)
    assert other_result == [1], "the other loop's load went on to its end"
    assert len(shared) == (0 if invalidate else 1), "and was not stored when it was invalidated"


@pytest.mark.parametrize("invalidate", [False, True])
async def test_with_keep_running_the_load_goes_on_when_everybody_left(invalidate):
    load = Load()

    @cache(keep_running=True)
    async def f(_key):
        return await load()

    await play(load, lambda: f(1), "all", "during", (lambda: f.invalidate(1)) if invalidate else nothing)
    assert (load.finished, load.cancelled) == (1, 0)
    assert len(f.cache) == (0 if invalidate else 1)


async def test_one_timeout_on_the_leader_gives_no_waiter_a_cancellation():
    load = Load()

    @cache
    async def f():
        return await load()

    async def impatient():
        async with asyncio.timeout(0):
            return await f()

    leader = asyncio.create_task(impatient())
    followers = [asyncio.create_task(f()) for _ in range(5)]
    with pytest.raises(TimeoutError):
        await leader
    load.release()
    await settle()
    load.release()
    assert len(set(await asyncio.gather(*followers))) == 1


async def test_a_call_made_after_an_invalidation_starts_its_own_load():
    load = Load()

    @cache(tags=("t",))
    async def f():
        return await load()

    old = asyncio.create_task(f())
    await settle()
    for invalidate in (f.invalidate, f.cache.clear, lambda: f.cache.invalidate_tags("t")):
        started = load.started
        invalidate()
        new = asyncio.create_task(f())
        await settle()
        assert load.started == started + 1
        load.gates[-1].set()
        assert await new == load.started
        assert await f() == load.started
    load.release()
    assert await old == 1
    assert await f() == load.started, "the old load's end removed and replaced nothing"


async def test_a_value_set_meanwhile_is_not_overwritten_by_an_older_load():
    kept = Cache(10)
    load = Load()
    task = asyncio.create_task(kept.get_or_load("a", load))
    await settle()
    kept["a"] = "newer"
    load.release()
    assert await task == 1
    assert kept["a"] == "newer"


async def test_a_load_that_fails_late_removes_nothing():
    kept = Cache(10)
    gate = asyncio.Event()

    async def fails():
        await gate.wait()
        raise ValueError("late")

    task = asyncio.create_task(kept.get_or_load("a", fails))
    await settle()
    kept["a"] = 1
    gate.set()
    with pytest.raises(ValueError, match="late"):
        await task
    assert kept["a"] == 1


def test_a_closed_loop_leaves_nothing_poisoned():
    wait = [True]

    @cache(ignore=("_",))
    async def g(_=None):
        if wait[0]:
            await asyncio.Event().wait()
        return "loaded"

    async def abandon():
        task = asyncio.create_task(g())
        await settle()
        assert not task.done()

    asyncio.run(abandon())
    wait[0] = False
    assert asyncio.run(asyncio.wait_for(g(), 5)) == "loaded"
    assert len(g.cache) == 1


async def test_a_cancelled_sole_caller_is_cancelled_for_certain():
    """A cancellation that meets the load's end in one pass of the loop is not swallowed."""
    load = Load()

    @cache
    async def f():
        return await load()

    task = asyncio.create_task(f())
    await settle()
    load.release()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
