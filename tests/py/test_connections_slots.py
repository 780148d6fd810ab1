"""Places in a pool: bounds, order, cancellation."""

import asyncio
import random

import pytest

from resilience import BulkheadFullError
from resilience.connections._slots import Slots
from support.until import until


def slots(limit=2, **settings):
    return Slots("pool", limit, **({"max_wait": 30.0, "max_waiting": 1000} | settings))


async def holders(places, *keys):
    tasks = []
    for key in keys:
        tasks.append(asyncio.create_task(places.acquire(key)))
        await asyncio.sleep(0)
    return tasks


async def test_waiters_are_served_in_order():
    places = slots(1)
    await places.acquire("a")
    order = []

    async def hold(number):
        await places.acquire("a")
        order.append(number)
        places.release("a")

    waiting = [asyncio.create_task(hold(number)) for number in range(5)]
    await until(lambda: places.waiting == 5)
    places.release("a")
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]
    assert (places.in_use, places.waiting) == (0, 0)


async def test_a_full_key_lets_others_pass():
    places = slots(3, per_key=1)
    await places.acquire("busy")
    blocked, free = await holders(places, "busy", "free")
    await free
    assert not blocked.done()
    places.release("busy")
    await blocked
    assert places.in_use == 2


async def test_waiting_ends_at_the_limit_with_a_rejection():
    places = slots(1, max_wait=0.001)
    await places.acquire("a")
    with pytest.raises(BulkheadFullError):
        await places.acquire("a")
    assert places.stats() == places.stats() | {"in_use": 1, "waiting": 0, "waits": 1, "refused": 1}


async def test_too_many_waiters_are_refused_at_once():
    places = slots(1, max_waiting=1)
    await places.acquire("a")
    (waiting,) = await holders(places, "a")
    with pytest.raises(BulkheadFullError):
        await places.acquire("a")
    places.release("a")
    await waiting


async def test_growing_admits_those_who_wait():
    places = slots(1)
    await places.acquire("a")
    waiting = await holders(places, "a", "a", "a")
    places.resize(3, None)
    await asyncio.gather(*waiting[:2])
    assert (places.in_use, places.waiting) == (3, 1)
    places.release("a")
    await waiting[2]


async def test_shrinking_lets_those_inside_finish_and_newcomers_wait():
    places = slots(3)
    for _ in range(3):
        await places.acquire("a")
    places.resize(1, None)
    (waiting,) = await holders(places, "a")
    places.release("a")
    places.release("a")
    await asyncio.sleep(0)
    assert not waiting.done()
    places.release("a")
    await waiting
    assert places.in_use == 1


@pytest.mark.parametrize("per_key", [None, 2])
@pytest.mark.parametrize("seed", range(3))
async def test_random_cancels_leave_every_place_free(seed, per_key):
    rng = random.Random(seed)
    places = slots(5, per_key=per_key)
    most = 0

    async def hold(key, turns):
        nonlocal most
        await places.acquire(key)
        try:
            most = max(most, places.in_use)
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            places.release(key)

    tasks = []
    for _ in range(400):
        tasks.append(asyncio.create_task(hold(rng.choice("abcd"), rng.randrange(4))))
        if rng.random() < 0.5:
            rng.choice(tasks[-20:]).cancel()
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 5
    assert (places.in_use, places.waiting, places._by_key) == (0, 0, {})
