"""Adaptive limits: what they learn from, whom they let wait, and that no place is lost."""

import asyncio

import pytest

from resilience import BulkheadFullError, CallTimeoutError, adaptive_limit, priority
from resilience.testing import ManualClock
from support.policies import Gate
from support.until import settle

ALGORITHMS = ["gradient2", "vegas", "aimd"]


async def load(limit, clock, *, at_once, rounds, latency=0.01, error=None):
    async def work():
        await gate()
        if error is not None:
            raise error

    for _ in range(rounds):
        gate = Gate()
        tasks = [asyncio.create_task(limit.call(work)) for _ in range(at_once())]
        await settle()
        clock.advance(latency)
        gate.open()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_it_grows_under_pressure_only(algorithm):
    clock = ManualClock()
    limit = adaptive_limit(algorithm=algorithm, clock=clock)
    await load(limit, clock, at_once=lambda: 9, rounds=20)
    assert limit.limit == 20
    await load(limit, clock, at_once=lambda: limit.limit, rounds=20)
    assert limit.limit > 20
    assert limit.in_flight == 0


async def test_latency_that_rises_lowers_it():
    clock = ManualClock()
    limit = adaptive_limit(initial=100, clock=clock)
    await load(limit, clock, at_once=lambda: 1, rounds=20)
    await load(limit, clock, at_once=lambda: limit.limit, rounds=3, latency=0.1)
    assert limit.limit < 60


class OverloadedError(Exception):
    status_code = 503


@pytest.mark.parametrize("error", [CallTimeoutError("upstream"), TimeoutError(), OverloadedError()])
async def test_timeouts_and_overload_answers_are_drops(error):
    clock = ManualClock()
    limit = adaptive_limit(algorithm="aimd", clock=clock)
    await load(limit, clock, at_once=lambda: 20, rounds=1, error=error)
    assert limit.limit == 18, "one round trip of drops counts once"


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
async def test_other_errors_and_cancellations_are_ignored(error):
    clock = ManualClock()
    limit = adaptive_limit(algorithm="aimd", clock=clock)
    await load(limit, clock, at_once=lambda: 20, rounds=5, error=error)
    assert (limit.limit, limit.in_flight) == (20, 0)


async def test_over_the_limit_calls_are_rejected():
    limit, gate = adaptive_limit(initial=1, max=1, name="llm"), Gate()
    task = asyncio.create_task(limit.call(gate))
    await settle()
    with pytest.raises(BulkheadFullError, match="llm"):
        await limit.call(gate)
    with pytest.raises(BulkheadFullError):
        limit.call_sync(lambda: None)
    gate.open()
    await task


async def test_waiters_are_served_by_priority_and_a_full_queue_gives_way():
    clock = ManualClock()
    limit, gate = adaptive_limit(initial=1, max=1, max_waiting=2, clock=clock), Gate()
    tasks = [asyncio.create_task(limit.call(gate, "holder"))]
    await settle()
    for name, level in (("low", 0), ("middle", 1), ("high", 2)):
        with priority(level):
            tasks.append(asyncio.create_task(limit.call(gate, name)))
        await settle()
    with pytest.raises(BulkheadFullError):
        await tasks[1]
    gate.open()
    await asyncio.gather(tasks[0], tasks[2], tasks[3])
    assert gate.started == ["holder", "high", "middle"]
    assert (limit.in_flight, limit.waiting) == (0, 0)


async def test_a_waiter_is_kept_for_wait_interval_at_most():
    clock = ManualClock()
    limit, gate = adaptive_limit(initial=1, max=1, max_waiting=9, clock=clock), Gate()
    holder = asyncio.create_task(limit.call(gate))
    await settle()
    waiter = asyncio.create_task(limit.call(gate))
    await settle()
    clock.advance(0.1)
    with pytest.raises(BulkheadFullError):
        await waiter
    gate.open()
    await holder
    assert (limit.in_flight, limit.waiting) == (0, 0)


async def test_a_cancelled_waiter_leaks_nothing():
    limit, gate = adaptive_limit(initial=1, max=1, max_waiting=9), Gate()
    tasks = [asyncio.create_task(limit.call(gate)) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    gate.open()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (limit.in_flight, limit.waiting) == (0, 0)


async def test_new_bounds_hold_at_once_and_let_waiters_in():
    limit, gate = adaptive_limit(initial=1, max=1, max_waiting=5, clock=ManualClock()), Gate()
    tasks = [asyncio.create_task(limit.call(gate)) for _ in range(4)]
    await settle()
    assert (limit.in_flight, limit.waiting) == (1, 3)
    limit.resize(min=3, max=8)
    await settle()
    assert (limit.limit, limit.max_limit, limit.in_flight, limit.waiting) == (3, 8, 3, 1)
    limit.resize(min=1, max=2)
    assert (limit.limit, limit.in_flight) == (2, 3), "calls under way finish"
    gate.open()
    await asyncio.gather(*tasks)
    assert (limit.in_flight, limit.waiting) == (0, 0)


def test_bounds_that_exclude_each_other_are_refused_and_nothing_changes():
    limit = adaptive_limit(min=5, max=50)
    for bounds in ({"max": 4}, {"min": 51}, {"min": 0}):
        with pytest.raises(ValueError, match="must be an integer"):
            limit.resize(**bounds)
    assert (limit.limit, limit.max_limit) == (20, 50)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"initial": 0}, ValueError),
        ({"min": 0}, ValueError),
        ({"min": 5, "max": 4}, ValueError),
        ({"algorithm": "reno"}, ValueError),
        ({"algorithm": 3}, TypeError),
        ({"max_waiting": -1}, ValueError),
    ],
)
def test_settings_out_of_range_name_the_argument(settings, error):
    with pytest.raises(error, match=list(settings)[-1]):
        adaptive_limit(**settings)
