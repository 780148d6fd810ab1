"""Calls cancelled at random points, of every policy: everything comes back.

Steps are driven by hand and drawn from a seed, so that a failure repeats.
"""

import asyncio
import random

import pytest

from resilience import (
    CircuitBreaker,
    Pipeline,
    ResilienceError,
    adaptive_limit,
    bulkhead,
    hedge,
    rate_limit,
    retry,
)
from resilience.testing import ManualClock
from support.until import settle

CALLS = 100_000
AT_ONCE = 200


class Storm:
    """Starts calls, lets some steps pass, cancels some, and counts what is left in the end."""

    def __init__(self, seed, clock):
        self.random = random.Random(seed)
        self.clock = clock
        self.outcomes = {"ok": 0, "cancelled": 0, "failed": 0}

    async def upstream(self):
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        if self.random.random() < 0.2:
            raise ConnectionError

    async def rage(self, policy, calls):
        asyncio.get_running_loop().set_debug(False)  # its bookkeeping would be most of the run
        while calls > 0:
            tasks = [asyncio.create_task(policy.call(self.upstream)) for _ in range(min(calls, AT_ONCE))]
            calls -= len(tasks)
            for task in self.random.sample(tasks, len(tasks) * 3 // 4):
                if self.random.random() < 0.05:
                    await asyncio.sleep(0)
                task.cancel()
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0)
                self.clock.advance(0.01)
            for task in tasks:
                self.note(task)

    def note(self, task):
        if task.cancelled():
            self.outcomes["cancelled"] += 1
        elif task.exception() is None:
            self.outcomes["ok"] += 1
        else:
            assert isinstance(task.exception(), (ConnectionError, ResilienceError))
            self.outcomes["failed"] += 1


@pytest.mark.parametrize("seed", [1])
async def test_after_a_hundred_thousand_cancelled_calls_everything_is_back(seed):
    clock = ManualClock()
    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=0.05, half_open_concurrency=3, clock=clock)
    room = bulkhead(5, max_waiting=50, max_wait=0.5, clock=clock)
    limit = adaptive_limit(initial=4, max=10, max_waiting=20, clock=clock)
    pipeline = Pipeline(
        total_timeout=1.0,
        retry=retry(on=ConnectionError, wait_initial=0.02, seed=seed, clock=clock),
        circuit_breaker=breaker,
        rate_limit=rate_limit(5_000, burst=100, max_wait=0.2, clock=clock),
        bulkhead=room,
        adaptive_limit=limit,
        timeout=0.5,
        clock=clock,
    )
    storm = Storm(seed, clock)
    await storm.rage(pipeline, CALLS)
    await settle()
    assert sum(storm.outcomes.values()) == CALLS
    assert min(storm.outcomes.values()) > CALLS // 100, storm.outcomes
    assert (room.in_flight, room.waiting) == (0, 0)
    assert (limit.in_flight, limit.waiting) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    clock.advance(100.0)
    for _ in range(20):  # probes and slots are free: it recovers and every call goes through
        assert await pipeline.call(answer) == 42
    assert breaker.state == "closed"


@pytest.mark.parametrize("make", ["bulkhead", "adaptive_limit", "rate_limit", "hedge"])
async def test_each_policy_alone_gets_everything_back(make):
    clock = ManualClock()
    policy = {
        "bulkhead": lambda: bulkhead(3, max_waiting=AT_ONCE, clock=clock),
        "adaptive_limit": lambda: adaptive_limit(initial=3, max=3, max_waiting=AT_ONCE, clock=clock),
        "rate_limit": lambda: rate_limit(1_000, burst=10, max_wait=1.0, clock=clock),
        "hedge": lambda: hedge(0.01, max_hedges=2, clock=clock),
    }[make]()
    storm = Storm(make, clock)
    await storm.rage(policy, 10_000)
    await settle()
    assert sum(storm.outcomes.values()) == 10_000
    assert getattr(policy, "in_flight", 0) == getattr(policy, "waiting", 0) == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    clock.advance(10.0)
    assert [await policy.call(answer) for _ in range(3)] == [42] * 3


async def answer():
    return 42
