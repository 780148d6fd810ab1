"""Checks of one's own close an open breaker early."""

import asyncio
import threading

import pytest

from resilience import CircuitBreaker, HealthCheck, State
from support.until import until


class Callee:
    """Up or down, and how often it was asked."""

    def __init__(self):
        self.up = False
        self.asked = 0

    async def check(self):
        self.asked += 1
        if self.up is None:
            raise ConnectionError("down")
        if self.up == "cancelled":
            raise asyncio.CancelledError  # of a task that the check awaits
        return self.up


@pytest.fixture
def callee():
    return Callee()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(failure_threshold=1, recovery_timeout=1000, clock=clock)


def open_up(breaker):
    breaker.record_failure(ConnectionError(), 0.1)
    assert breaker.state is State.OPEN


async def step(clock, callee):
    """Let one more attempt happen."""
    asked = callee.asked
    while callee.asked == asked:
        clock.advance(1)
        await asyncio.sleep(0)


async def test_enough_good_attempts_in_a_row_close_it(breaker, callee, clock):
    breaker.add_health_probe(HealthCheck(check=callee.check, successes=3, clock=clock))
    open_up(breaker)
    for up in (False, True, True, None, True, True, "cancelled", True, True):
        callee.up = up
        await step(clock, callee)
        assert breaker.state is State.OPEN
    await step(clock, callee)
    await until(lambda: breaker.state is State.CLOSED)
    assert callee.asked == 10


async def test_checking_ends_with_the_open_period_and_begins_with_the_next(breaker, callee, clock):
    callee.up = True
    breaker.add_health_probe(HealthCheck(check=callee.check, successes=1, clock=clock))
    for times in (1, 2):
        open_up(breaker)
        await step(clock, callee)
        await until(lambda: breaker.state is State.CLOSED)
        for _ in range(20):
            clock.advance(1)
            await asyncio.sleep(0)
        assert callee.asked == times


async def test_a_removed_check_asks_no_more(breaker, callee, clock):
    remove = breaker.add_health_probe(HealthCheck(check=callee.check, clock=clock))
    open_up(breaker)
    await step(clock, callee)
    remove()
    for _ in range(20):
        clock.advance(1)
        await asyncio.sleep(0)
    assert callee.asked == 1


async def test_a_hanging_check_has_failed_after_its_timeout(breaker, clock):
    asked = []

    async def hang():
        asked.append(None)
        await asyncio.Event().wait()

    remove = breaker.add_health_probe(HealthCheck(check=hang, timeout=5, clock=clock))
    open_up(breaker)
    while len(asked) < 3:
        clock.advance(1)
        await asyncio.sleep(0)
    assert breaker.state is State.OPEN
    remove()


async def test_another_thread_may_close_the_breaker_while_it_is_checked(breaker, callee, clock):
    breaker.add_health_probe(HealthCheck(check=callee.check, clock=clock))
    open_up(breaker)
    await step(clock, callee)
    thread = threading.Thread(target=breaker.reset)
    thread.start()
    thread.join()
    for _ in range(20):
        clock.advance(1)
        await asyncio.sleep(0)
    assert callee.asked == 1
    assert breaker.state is State.CLOSED


def test_without_an_event_loop_there_is_no_checking(breaker, callee, clock):
    breaker.add_health_probe(HealthCheck(check=callee.check, clock=clock))
    open_up(breaker)
    clock.advance(10)
    assert callee.asked == 0


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"check": 5}, TypeError, "check must be an async function, got int"),
        ({"interval": 0}, ValueError, r"interval must be a number of seconds in \[0.001, 3600\], got 0"),
        ({"timeout": float("nan")}, ValueError, "timeout must be"),
        ({"successes": 0}, ValueError, "successes must be an integer"),
    ],
)
def test_what_is_out_of_range_is_refused_at_construction(callee, settings, kind, message):
    with pytest.raises(kind, match=message):
        HealthCheck(**{"check": callee.check, **settings})
