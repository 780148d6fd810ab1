"""Rate limits: how many calls in what time, by key, and waiting for a turn."""

import asyncio
import threading

import pytest

from resilience import RateLimitedError, priority, rate_limit
from resilience.testing import ManualClock
from support.until import settle


async def answer(value=None):
    return value


async def admitted(limit, calls=1_000):
    count = 0
    for _ in range(calls):
        try:
            await limit.call(answer)
        except RateLimitedError:
            break
        count += 1
    return count


async def test_a_burst_and_then_the_rate():
    clock = ManualClock()
    limit = rate_limit(10, clock=clock)
    assert await admitted(limit) == 10
    with pytest.raises(RateLimitedError) as caught:
        await limit.call(answer)
    assert caught.value.retry_after == pytest.approx(0.1)
    clock.advance(caught.value.retry_after)
    assert await admitted(limit) == 1
    clock.advance(1.0)
    assert await admitted(limit) == 10


async def test_per_and_burst():
    clock = ManualClock()
    limit = rate_limit(6, per=60.0, burst=2, clock=clock)
    assert await admitted(limit) == 2
    clock.advance(10.0)
    assert await admitted(limit) == 1
    slow = rate_limit(0.5, clock=clock)
    assert await admitted(slow) == 1
    clock.advance(2.0)
    assert await admitted(slow) == 1


async def test_every_rejection_is_a_new_object_whose_traceback_does_not_grow():
    limit = rate_limit(1, clock=ManualClock())
    await limit.call(answer)
    errors = []
    for _ in range(3):
        try:
            await limit.call(answer)
        except RateLimitedError as error:
            errors.append(error)
    assert len({id(error) for error in errors}) == 3

    def depth(error):
        trace, frames = error.__traceback__, 0
        while trace is not None:
            trace, frames = trace.tb_next, frames + 1
        return frames

    assert {depth(error) for error in errors} == {1}


async def test_keys_have_rates_of_their_own():
    limit = rate_limit(1, key=lambda user, **_: user, clock=ManualClock())

    @limit
    async def call(user, *, what=None):
        return user, what

    assert await call("a") == ("a", None)
    assert await call("b", what=1) == ("b", 1)
    with pytest.raises(RateLimitedError):
        await call("a", what=2)
    assert await call(1) == (1, None)
    assert await call("1") == ("1", None)
    assert await call("int:1") == ("int:1", None)


async def test_a_key_function_that_fails_fails_the_call():
    limit = rate_limit(1, key=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await limit.call(answer)


async def test_the_number_of_keys_is_bounded():
    limit = rate_limit(1, key=lambda key: key, max_keys=100, clock=ManualClock())
    for key in range(10_000):
        await limit.call(answer, key)
    assert limit._machine.keys == 100


async def test_waiting_callers_take_their_turn_in_order():
    clock = ManualClock()
    limit = rate_limit(1, max_wait=10.0, clock=clock)
    order = []

    async def note(value):
        order.append(value)

    tasks = [asyncio.create_task(limit.call(note, i)) for i in range(4)]
    await settle()
    assert order == [0]
    for expected in (1, 2, 3):
        clock.advance(0.999)
        await settle()
        assert len(order) == expected
        clock.advance(0.001)
        await settle()
        assert order == list(range(expected + 1))
    await asyncio.gather(*tasks)


async def test_a_wait_that_would_be_too_long_is_refused_at_once():
    limit = rate_limit(1, max_wait=2.0, clock=ManualClock())
    await limit.call(answer)
    waiting = [asyncio.create_task(limit.call(answer)) for _ in range(2)]
    await settle()
    with pytest.raises(RateLimitedError) as caught:
        await limit.call(answer)
    assert caught.value.retry_after == pytest.approx(3.0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_waiter_that_is_cancelled_moves_the_others_forward():
    clock = ManualClock()
    limit = rate_limit(1, max_wait=10.0, clock=clock)
    await limit.call(answer)
    first, second = (asyncio.create_task(limit.call(answer, i)) for i in (1, 2))
    await settle()
    first.cancel()
    await settle()
    clock.advance(1.0)
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_one_that_higher_priorities_overtake_is_refused_after_max_wait():
    clock = ManualClock()
    limit = rate_limit(1, max_wait=2.0, clock=clock)
    await limit.call(answer)
    low = asyncio.create_task(limit.call(answer, "low"))
    for name, wait in (("first", 0.5), ("second", 1.0)):
        await settle()
        clock.advance(wait - clock.now())
        with priority(1):
            high = asyncio.create_task(limit.call(answer, name))
        await settle()
        clock.advance(wait + 0.5 - clock.now() if name == "first" else 1.0)
        assert await high == name
    with pytest.raises(RateLimitedError):
        await low
    assert clock.now() == 2.0


def test_threads_wait_on_the_manual_clock_too():
    clock = ManualClock()
    limit = rate_limit(1, max_wait=10.0, clock=clock)
    limit.call_sync(lambda: None)
    thread = threading.Thread(target=limit.call_sync, args=(lambda: None,))
    thread.start()
    while thread.is_alive():
        clock.advance(0.25)
        thread.join(0.001)
    assert clock.now() >= 1.0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"rate": 0}, ValueError),
        ({"rate": float("nan")}, ValueError),
        ({"rate": "1"}, TypeError),
        ({"rate": 1, "per": 0}, ValueError),
        ({"rate": 1, "burst": 0.5}, ValueError),
        ({"rate": 1, "max_wait": -1}, ValueError),
        ({"rate": 1, "key": "user"}, TypeError),
        ({"rate": 1, "max_keys": 0}, ValueError),
    ],
)
def test_settings_out_of_range_name_the_argument(settings, error):
    with pytest.raises(error, match=list(settings)[-1]):
        rate_limit(**settings)
