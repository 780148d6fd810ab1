"""What the suites of other breakers expect of a call, held to through every way of making one.

The libraries are pybreaker, aiobreaker, purgatory, circuitbreaker and interlock; docs/differences.md says where this
one departs from them on purpose.
"""

import pytest

from resilience import CircuitBreaker, CircuitOpenError, State
from support.field_ways import WAYS

pytestmark = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


class DownError(Exception):
    """What the guarded service raises."""


class ExpectedError(Exception):
    """An error of the caller's own making."""


def make(clock, **settings):
    return CircuitBreaker("field", recovery_jitter=0.0, clock=clock, **settings)


def works():
    return "value"


def breaks():
    raise DownError


async def fail(way, breaker, times=1):
    for _ in range(times):
        with pytest.raises(DownError):
            await way(breaker, breaks)


async def open_it(way, breaker):
    await fail(way, breaker, 3)
    assert breaker.state is State.OPEN


async def test_a_successful_call_returns_its_value_and_changes_nothing(way, clock):
    breaker = make(clock)
    assert await way(breaker, works) == "value"
    assert (breaker.state, breaker.failure_count, breaker.success_count) == (State.CLOSED, 0, 1)


async def test_a_failed_call_raises_its_own_error_and_counts_one(way, clock):
    breaker = make(clock)
    error = DownError("unchanged")

    def raise_it():
        raise error

    with pytest.raises(DownError) as caught:
        await way(breaker, raise_it)
    assert caught.value is error
    assert (breaker.state, breaker.failure_count) == (State.CLOSED, 1)
    assert breaker.last_failure_time is not None


async def test_a_success_between_failures_ends_their_row(way, clock):
    breaker = make(clock)
    await fail(way, breaker, 2)
    await way(breaker, works)
    await fail(way, breaker, 2)
    assert breaker.state is State.CLOSED
    await fail(way, breaker)
    assert breaker.state is State.OPEN


async def test_the_call_that_reaches_the_threshold_raises_its_own_error_and_the_next_is_rejected(way, clock):
    breaker = make(clock)
    await fail(way, breaker, 3)
    ran = []
    with pytest.raises(CircuitOpenError) as rejected:
        await way(breaker, lambda: ran.append(True))
    assert ran == []
    assert rejected.value.name == "field"
    assert rejected.value.retry_after == 30.0


async def test_it_stays_open_until_the_recovery_timeout_to_the_moment(way, clock):
    breaker = make(clock, recovery_timeout=10.0)
    await open_it(way, breaker)
    clock.advance(9.999)
    with pytest.raises(CircuitOpenError):
        await way(breaker, works)
    clock.advance(0.001)
    assert await way(breaker, works) == "value"


async def test_rejections_do_not_lengthen_the_open_time(way, clock):
    breaker = make(clock, recovery_timeout=10.0)
    await open_it(way, breaker)
    until = breaker.opened_until
    for _ in range(5):
        clock.advance(1)
        with pytest.raises(CircuitOpenError):
            await way(breaker, works)
    assert breaker.opened_until == until
    assert breaker.failure_count == 3


async def test_a_probe_that_fails_opens_it_again_for_a_whole_recovery_timeout(way, clock):
    breaker = make(clock, recovery_timeout=10.0, success_threshold=1, half_open_requests=1)
    await open_it(way, breaker)
    clock.advance(10)
    await fail(way, breaker)
    assert breaker.state is State.OPEN
    clock.advance(9.9)
    with pytest.raises(CircuitOpenError):
        await way(breaker, works)


async def test_as_many_probes_as_the_success_threshold_close_it(way, clock):
    breaker = make(clock, success_threshold=3)
    await open_it(way, breaker)
    clock.advance(30)
    for expected in (State.HALF_OPEN, State.HALF_OPEN, State.CLOSED):
        await way(breaker, works)
        assert breaker.state is expected
    assert breaker.failure_count == 0


async def test_a_closed_breaker_has_forgotten_what_opened_it(way, clock):
    breaker = make(clock, success_threshold=1)
    await open_it(way, breaker)
    clock.advance(30)
    await way(breaker, works)
    await fail(way, breaker, 2)
    assert breaker.state is State.CLOSED


async def test_an_excluded_error_is_raised_and_is_no_failure(way, clock):
    breaker = make(clock, ignore=ExpectedError)

    def raise_it():
        raise ExpectedError

    for _ in range(10):
        with pytest.raises(ExpectedError):
            await way(breaker, raise_it)
    assert (breaker.state, breaker.failure_count) == (State.CLOSED, 0)


async def test_a_subclass_of_an_excluded_error_is_excluded_too(way, clock):
    breaker = make(clock, ignore=(LookupError, ExpectedError))

    def raise_it():
        raise KeyError("key")

    for _ in range(4):
        with pytest.raises(KeyError):
            await way(breaker, raise_it)
    assert breaker.failure_count == 0


async def test_a_predicate_may_say_which_errors_are_failures(way, clock):
    breaker = make(clock, failure_on=lambda error: "temporary" in str(error))

    def raise_it(text):
        raise DownError(text)

    for text in ("permanent", "temporary") * 2:
        with pytest.raises(DownError):
            await way(breaker, lambda text=text: raise_it(text))
    assert breaker.failure_count == 2


async def test_only_expected_errors_count_when_they_are_named(way, clock):
    breaker = make(clock, failure_on=(DownError, OSError))
    await fail(way, breaker, 1)

    def raise_it():
        raise ExpectedError

    with pytest.raises(ExpectedError):
        await way(breaker, raise_it)
    assert breaker.failure_count == 1


async def test_an_interrupt_in_a_probe_gives_its_slot_back(way, clock):
    breaker = make(clock)
    await open_it(way, breaker)
    clock.advance(30)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await way(breaker, interrupt)
    assert breaker.state is State.HALF_OPEN
    assert await way(breaker, works) == "value"


async def test_half_of_the_calls_failing_opens_it_at_a_rate_of_a_half_and_not_before_the_minimum(way, clock):
    breaker = make(clock, failure_rate_threshold=0.5, minimum_calls=4)
    await fail(way, breaker, 2)
    await way(breaker, works)
    assert breaker.state is State.CLOSED
    await way(breaker, works)
    assert breaker.state is State.OPEN


async def test_calls_below_the_rate_leave_it_closed(way, clock):
    breaker = make(clock, failure_rate_threshold=0.5, minimum_calls=4)
    for _ in range(20):
        await way(breaker, works)
        await way(breaker, works)
        await fail(way, breaker)
    assert breaker.state is State.CLOSED


async def test_a_call_exactly_as_long_as_the_slow_duration_is_slow(way, clock):
    breaker = make(clock, slow_call_duration=2.0, slow_call_rate_threshold=0.5, minimum_calls=2)
    await way(breaker, lambda: clock.advance(1.999))
    await way(breaker, lambda: clock.advance(2.0))
    assert breaker.get_stats()["slow_call_count"] == 1
    assert breaker.state is State.OPEN


async def test_a_slow_failure_is_both(way, clock):
    breaker = make(clock, slow_call_duration=2.0)

    def slowly_break():
        clock.advance(3)
        raise DownError

    with pytest.raises(DownError):
        await way(breaker, slowly_break)
    stats = breaker.get_stats()
    assert (stats["failure_count"], stats["slow_call_count"]) == (1, 1)


async def test_slow_probes_do_not_close_a_breaker_that_slowness_opens(way, clock):
    breaker = make(clock, slow_call_duration=2.0, slow_call_rate_threshold=0.5, minimum_calls=2)
    for _ in range(2):
        await way(breaker, lambda: clock.advance(5))
    clock.advance(30)
    await way(breaker, lambda: clock.advance(5))
    assert breaker.state is State.OPEN


async def test_the_window_forgets_calls_as_time_passes_without_new_ones(way, clock):
    breaker = make(clock, monitor_window=60.0, failure_threshold=5)
    await fail(way, breaker, 2)
    clock.advance(60)
    assert breaker.failure_count == 0


async def test_a_window_of_calls_keeps_the_last_ones(way, clock):
    breaker = make(clock, window_calls=4, failure_threshold=100)
    await fail(way, breaker, 4)
    for _ in range(3):
        await way(breaker, works)
    assert (breaker.failure_count, breaker.success_count) == (1, 3)


async def test_a_breaker_forced_open_rejects_all_and_never_recovers_by_itself(way, clock):
    breaker = make(clock)
    breaker.force_open()
    clock.advance(100_000)
    with pytest.raises(CircuitOpenError) as rejected:
        await way(breaker, works)
    assert rejected.value.retry_after is None


async def test_a_disabled_breaker_lets_all_through_and_records_nothing(way, clock):
    breaker = make(clock)
    breaker.disable()
    await fail(way, breaker, 10)
    assert (breaker.state, breaker.failure_count, breaker.last_failure_time) == (State.DISABLED, 0, None)


async def test_metrics_only_records_without_opening(way, clock):
    breaker = make(clock)
    breaker.metrics_only()
    await fail(way, breaker, 10)
    assert (breaker.state, breaker.failure_count) == (State.METRICS_ONLY, 10)


@pytest.mark.parametrize("enter", ["open", "force_open", "disable"])
async def test_reset_closes_it_from_any_state(way, clock, enter):
    breaker = make(clock)
    if enter == "open":
        await open_it(way, breaker)
    else:
        getattr(breaker, enter)()
    breaker.reset()
    assert (breaker.state, breaker.failure_count, breaker.last_failure_time) == (State.CLOSED, 0, None)
    assert await way(breaker, works) == "value"


async def test_breakers_may_be_nested_and_each_counts_for_itself(way, clock):
    inner, outer = make(clock, failure_threshold=1), make(clock)

    def through_inner():
        return inner.call_sync(breaks)

    with pytest.raises(DownError):
        await way(outer, through_inner)
    assert (inner.state, outer.failure_count) == (State.OPEN, 1)
    # the inner one's rejection says nothing of what the outer one guards
    with pytest.raises(CircuitOpenError):
        await way(outer, through_inner)
    assert outer.failure_count == 1
