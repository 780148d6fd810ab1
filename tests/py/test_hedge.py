"""Hedging: when a further request goes out, who wins, and what becomes of the losers."""

import asyncio

import pytest

from resilience import CallTimeoutError, CircuitBreaker, Pipeline, RetryBudget, bulkhead, hedge, rate_limit
from resilience.testing import ManualClock
from support.until import settle


class Racers:
    """Requests that end when they are told to, and note who was cancelled."""

    def __init__(self):
        self.futures = []
        self.cancelled = []

    async def __call__(self):
        number = len(self.futures)
        self.futures.append(asyncio.get_running_loop().create_future())
        try:
            return await self.futures[number]
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # cleaning up takes a while
            self.cancelled.append(number)
            raise


async def race(policy, clock, *, seconds):
    racers = Racers()
    task = asyncio.create_task(policy.call(racers))
    await settle()
    clock.advance(seconds)
    await settle()
    return racers, task


async def test_a_fast_answer_is_never_hedged():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=0.999)
    racers.futures[0].set_result("fast")
    assert await task == "fast"
    clock.advance(10.0)
    await settle()
    assert len(racers.futures) == 1


async def test_the_loser_is_cancelled_and_awaited():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=1.0)
    assert len(racers.futures) == 2
    racers.futures[1].set_result("hedge")
    assert await task == "hedge"
    assert racers.cancelled == [0]


async def test_at_most_so_many_hedges():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, max_hedges=2, clock=clock), clock, seconds=1.0)
    for _ in range(5):
        clock.advance(1.0)
        await settle()
    assert len(racers.futures) == 3
    racers.futures[2].set_result("third")
    assert await task == "third"
    assert sorted(racers.cancelled) == [0, 1]


async def test_an_error_counts_only_once_no_other_request_is_out():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=1.0)
    racers.futures[0].set_exception(ValueError("first"))
    await settle()
    assert not task.done()
    racers.futures[1].set_result("second")
    assert await task == "second"
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=1.0)
    racers.futures[1].set_exception(KeyError("second"))
    racers.futures[0].set_exception(ValueError("first"))
    with pytest.raises((ValueError, KeyError)):
        await task


async def test_a_failure_before_the_delay_is_the_calls():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=0.5)
    error = ValueError("at once")
    racers.futures[0].set_exception(error)
    with pytest.raises(ValueError, match="at once") as caught:
        await task
    assert caught.value is error


async def test_a_spent_budget_only_stops_new_hedges():
    clock = ManualClock()
    policy = hedge(1.0, budget=RetryBudget(ratio=0.0, min_per_second=1.0, clock=clock), clock=clock)
    policy._budget.take()
    hedged, hedged_task = await race(policy, clock, seconds=1.0)
    assert len(hedged.futures) == 2, "one second has earned one hedge"
    plain, plain_task = await race(policy, clock, seconds=0.5)
    assert len(plain.futures) == 1
    hedged.futures[1].set_result("the hedge that was out still wins")
    assert "still wins" in await hedged_task
    plain.futures[0].set_result("ok")
    assert await plain_task == "ok"


async def test_without_budget_left_calls_just_wait():
    clock = ManualClock()
    policy = hedge(1.0, budget=RetryBudget(ratio=0.0, min_per_second=0.0, clock=clock), clock=clock)
    racers, task = await race(policy, clock, seconds=5.0)
    assert len(racers.futures) == 1
    racers.futures[0].set_result("slow")
    assert await task == "slow"


async def test_a_percentile_hedges_once_enough_calls_were_seen():
    clock = ManualClock()
    policy = hedge("p95", clock=clock)

    for i in range(20):
        racers, task = await race(policy, clock, seconds=0.1 + i / 100)
        racers.futures[0].set_result(i)
        await task
        assert len(racers.futures) == 1
    racers, task = await race(policy, clock, seconds=0.3)
    assert len(racers.futures) == 2
    racers.futures[0].set_result("ok")
    await task


async def test_each_hedge_passes_breaker_limits_and_bulkhead():
    clock = ManualClock()
    room = bulkhead(2)
    breaker = CircuitBreaker()
    pipeline = Pipeline(
        hedge=hedge(1.0, max_hedges=3, clock=clock),
        circuit_breaker=breaker,
        rate_limit=rate_limit(100, clock=clock),
        bulkhead=room,
    )
    racers, task = await race(pipeline, clock, seconds=1.0)
    assert room.in_flight == 2
    clock.advance(1.0)
    await settle()
    assert len(racers.futures) == 2, "the third was rejected by the bulkhead"
    racers.futures[1].set_result("ok")
    assert await task == "ok"
    assert room.in_flight == 0
    totals = breaker.get_stats()["totals"]
    assert totals["failures"] == 0
    assert totals["cancelled"] == 1


async def test_cancelling_the_call_cancels_every_request_and_waits_for_them():
    clock = ManualClock()
    racers, task = await race(hedge(1.0, clock=clock), clock, seconds=1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(racers.cancelled) == [0, 1]


async def test_a_total_timeout_ends_all_requests():
    clock = ManualClock()
    pipeline = Pipeline(hedge=hedge(1.0, clock=clock), total_timeout=3.0, clock=clock)
    racers, task = await race(pipeline, clock, seconds=1.0)
    clock.advance(2.0)
    with pytest.raises(CallTimeoutError):
        await task
    assert sorted(racers.cancelled) == [0, 1]


def test_plain_functions_and_streams_are_refused_at_decoration():
    with pytest.raises(TypeError, match="hedge"):
        hedge(1.0)(lambda: None)

    async def stream():
        yield 1

    with pytest.raises(TypeError, match="hedge"):
        hedge(1.0)(stream)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"delay": -1}, ValueError),
        ({"delay": "95"}, ValueError),
        ({"delay": "p0"}, ValueError),
        ({"delay": "p100"}, ValueError),
        ({"delay": None}, TypeError),
        ({"delay": 1, "max_hedges": 0}, ValueError),
        ({"delay": 1, "budget": 3}, TypeError),
    ],
)
def test_settings_out_of_range_name_the_argument(settings, error):
    with pytest.raises(error, match=list(settings)[-1]):
        hedge(**settings)


async def test_requests_hear_of_each_cancellation_as_an_awaited_call_would():
    heard = []

    async def stubborn():
        for number in range(2):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                heard.append(number)
        raise asyncio.CancelledError

    task = asyncio.create_task(hedge(60.0).call(stubborn))
    await settle()
    for _ in range(2):
        task.cancel()
        await settle()
    assert task.cancelled()
    assert heard == [0, 1]
