"""A call made before its pipeline changed, or one that was repeating then, crashed or failed an assertion."""

import asyncio
import contextlib
import gc
import random
import weakref

import pytest

from resilience import (
    CallTimeoutError,
    CircuitBreaker,
    Pipeline,
    ResilienceError,
    adaptive_limit,
    bulkhead,
    fallback,
    hedge,
    rate_limit,
    retry,
)
from resilience.testing import ManualClock
from support.policies import Flaky
from support.until import settle


def again(clock=None, **given):
    settings = {"on": ConnectionError, "attempts": 3, "wait_initial": 0.0, "budget": None, "clock": clock}
    return retry(**{**settings, **given})


NEEDS_ARGUMENTS = {
    "retry": again,
    "hedge": lambda: hedge(0.0),
    "fallback": lambda: fallback("instead", on=ConnectionError),
    "rate_limit": lambda: rate_limit(5, key=lambda: "key"),
    "circuit_breaker": lambda: CircuitBreaker(fallback=lambda: "instead"),
}


@pytest.mark.parametrize("place", NEEDS_ARGUMENTS)
async def test_a_call_that_was_made_before_keeps_the_policies_it_was_made_under(place):
    limit, flaky = bulkhead(1), Flaky(1)
    pipeline = Pipeline(bulkhead=limit)

    @pipeline
    async def ask():
        return await flaky()

    first = ask()
    pipeline.replace(**{place: NEEDS_ARGUMENTS[place](), "bulkhead": None})
    with pytest.raises(ConnectionError):
        await first
    assert flaky.calls == 1
    assert await ask() == "ok"
    assert limit.in_flight == 0


async def test_a_call_that_is_repeating_goes_on_without_its_replaced_policies_missing():
    clock = ManualClock()
    pipeline = Pipeline(retry=again(clock, wait_initial=1.0, jitter="none"), clock=clock)
    flaky = Flaky(1)
    waiting = asyncio.create_task(pipeline.call(flaky))
    await settle()
    pipeline.replace(retry=None)
    clock.advance(1.0)
    assert await waiting == "ok"
    assert flaky.calls == 2
    with pytest.raises(ConnectionError):
        await pipeline.call(Flaky(1))


async def test_a_hedged_call_goes_on_after_hedging_was_taken_away():
    clock = ManualClock()
    pipeline = Pipeline(hedge=hedge(1.0, clock=clock), retry=again(clock))
    held, calls = asyncio.Event(), []

    async def ask():
        calls.append(len(calls))
        if calls[-1] == 0:
            await held.wait()
        return calls[-1]

    waiting = asyncio.create_task(pipeline.call(ask))
    await settle()
    pipeline.replace(hedge=None, retry=None)
    clock.advance(1.0)
    assert await waiting == 1


@pytest.mark.parametrize(
    "end", [lambda call: call.close(), lambda call: None, lambda call: call.throw(OSError)]
)
async def test_a_call_that_never_begins_lets_go_of_the_policies_it_was_made_under(end):
    limit = bulkhead(1)
    pipeline, gone = Pipeline(bulkhead=limit), weakref.ref(limit)

    @pipeline
    async def ask():
        return "answer"

    call = ask()
    pipeline.replace(bulkhead=None)
    del limit
    with contextlib.suppress(OSError):
        end(call)
    call.close()
    del call
    gc.collect()
    assert gone() is None


def _drawn(rng):
    """Some other policies, or none, for some places."""
    makers = {
        "circuit_breaker": lambda: CircuitBreaker(failure_threshold=5),
        "bulkhead": lambda: bulkhead(2, max_waiting=50),
        "adaptive_limit": lambda: adaptive_limit(initial=3, max_waiting=50, target_wait=5, wait_interval=10),
        "rate_limit": lambda: rate_limit(1e5, burst=5, max_wait=1.0),
        "retry": lambda: again(on=(ConnectionError, CallTimeoutError)),
        "hedge": lambda: hedge(0.0),
        "timeout": lambda: 5.0,
        "total_timeout": lambda: 5.0,
        "fallback": lambda: fallback("instead", on=Exception),
    }
    chosen = [place for place in makers if rng.random() < 0.5]
    return {place: makers[place]() if rng.random() < 0.6 else None for place in chosen}


async def _storm(rng, pipeline, history):
    """Calls, cancels and other policies, in any order; returns what became of the calls."""

    @pipeline
    async def ask():
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            raise ConnectionError
        return "ok"

    tasks = []
    for _ in range(40):
        tasks.append(asyncio.create_task(ask()))
        if rng.random() < 0.3:
            await asyncio.sleep(0)
        if rng.random() < 0.2:
            history.append(_drawn(rng))
            pipeline.replace(**history[-1])
        if rng.random() < 0.2:
            rng.choice(tasks).cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(25))
async def test_policies_that_change_in_a_storm_of_calls_and_cancels_lose_no_place(seed):
    rng = random.Random(seed)
    history = [_drawn(rng)]
    expected = (ConnectionError, ResilienceError, asyncio.CancelledError)
    for answer in await _storm(rng, Pipeline(**history[0]), history):
        assert answer in {"ok", "instead"} or isinstance(answer, expected)
    await settle()
    limits = [policies.get(place) for policies in history for place in ("bulkhead", "adaptive_limit")]
    for limit in filter(None, limits):
        assert (limit.in_flight, limit.waiting) == (0, 0)
