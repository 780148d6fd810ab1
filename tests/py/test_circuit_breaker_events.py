"""What listeners of a circuit breaker hear, when and in which order."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from resilience import (
    CallFailed,
    CallRejected,
    CallSucceeded,
    CircuitBreaker,
    CircuitOpenError,
    Reset,
    SlowCall,
    State,
    StateChanged,
)
from support.breakers import UpstreamError, fail, succeed


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("upstream", clock=clock, recovery_jitter=0.0)


async def test_listeners_get_each_event_once_in_order_before_the_call_returns(clock):
    breaker = CircuitBreaker(
        "b", clock=clock, recovery_jitter=0.0, failure_threshold=1, slow_call_duration=1.0
    )
    events = []
    breaker.add_listener(events.append)

    async def slow():
        clock.advance(2.0)

    await breaker.call(succeed)
    await breaker.call(slow)
    with pytest.raises(UpstreamError):
        await breaker.call(fail)
    with pytest.raises(CircuitOpenError):
        await breaker.call(succeed)
    breaker.reset()
    kinds = [type(event) for event in events]
    assert kinds == [
        CallSucceeded, CallSucceeded, SlowCall, CallFailed, StateChanged, CallRejected, StateChanged, Reset
    ]  # fmt: skip
    assert events[4].old is State.CLOSED
    assert events[4].new is State.OPEN
    assert isinstance(events[3].error, UpstreamError)


async def test_a_failing_listener_is_logged_and_harms_nothing(breaker, caplog):
    seen = []

    def broken(_event):
        raise RuntimeError("listener")

    breaker.add_listener(broken)
    breaker.add_listener(seen.append)
    with caplog.at_level(logging.ERROR, "resilience"):
        assert await breaker.call(succeed) == "answer"
    assert len(seen) == 1
    assert "a listener of 'upstream' failed" in caplog.text


async def test_a_listener_may_call_the_breaker_and_the_order_holds(breaker):
    seen = []

    def reset_on_open(event):
        if isinstance(event, StateChanged) and event.new is State.OPEN:
            breaker.reset()

    breaker.add_listener(reset_on_open)
    breaker.add_listener(lambda event: seen.append(event) if isinstance(event, StateChanged) else None)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await breaker.call(fail)
    assert [event.new for event in seen] == [State.OPEN, State.CLOSED]
    assert breaker.state is State.CLOSED


def test_events_of_many_threads_all_arrive_one_at_a_time(breaker):
    inside, overlaps, seen = [], [], []

    def listener(event):
        if inside:
            overlaps.append(event)
        inside.append(1)
        seen.append(event)
        inside.pop()

    breaker.add_listener(listener)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: breaker.call_sync(lambda: None), range(4000)))
    assert len(seen) == 4000
    assert overlaps == []


def test_a_removed_listener_hears_nothing_more(breaker):
    events = []
    remove = breaker.add_listener(events.append)
    remove()
    remove()
    breaker.call_sync(lambda: None)
    assert events == []
