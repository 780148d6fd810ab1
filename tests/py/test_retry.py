"""Retries: what is made again, when, and how often."""

import asyncio
import random
from email.utils import formatdate

import pytest

from resilience import (
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    Pipeline,
    ResilienceError,
    RetriesStopped,
    RetryBudget,
    RetryBudgetExhaustedError,
    RetryScheduled,
    bulkhead,
    deadline,
    retry,
)
from resilience.testing import ManualClock
from support.policies import Flaky
from support.until import settle


def quick(**settings):
    return retry(**{"on": ConnectionError, "wait_initial": 0.0, "budget": None, **settings})


async def test_a_call_that_fails_is_made_again_until_it_succeeds():
    flaky = Flaky(2)
    assert await quick().call(flaky, 7) == 7
    assert flaky.calls == 3


def test_plain_functions_are_retried_too():
    flaky = Flaky(2)
    assert quick()(flaky.sync)(7) == 7
    assert quick().call_sync(Flaky(1).sync, 8) == 8
    assert flaky.calls == 3


def test_on_is_required_and_checked():
    with pytest.raises(TypeError, match="on"):
        retry()
    for wrong in ("ValueError", (), (ValueError, 3), 3, int):
        with pytest.raises(TypeError, match="on must be an exception class"):
            retry(on=wrong)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("attempts", 0),
        ("wait_initial", -1.0),
        ("wait_max", float("nan")),
        ("wait_exp_base", 0.5),
        ("jitter", "some"),
    ],
)
def test_settings_out_of_range_name_the_argument(argument, value):
    with pytest.raises(ValueError, match=argument):
        quick(**{argument: value})


@pytest.mark.parametrize("final", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_ends_a_call_or_a_program_is_never_retried(final):
    flaky = Flaky(1, final())
    with pytest.raises(final):
        quick(on=BaseException).call_sync(flaky.sync)
    assert flaky.calls == 1
    coroutine = quick(on=BaseException).call(flaky)
    flaky.left = 1
    with pytest.raises(final):
        coroutine.send(None)
    assert flaky.calls == 2


async def test_the_last_error_is_raised_as_itself_and_unchanged():
    error = ConnectionError("first and last")
    flaky = Flaky(9, error)
    with pytest.raises(ConnectionError) as caught:
        await quick().call(flaky)
    assert caught.value is error
    assert caught.value.args == ("first and last",)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not hasattr(caught.value, "__notes__")


async def test_attempts_are_told_and_logged_per_call(caplog):
    caplog.set_level("INFO", logger="resilience.retry")
    policy = quick(attempts=3, name="upstream")
    events = []
    policy.add_listener(events.append)
    with pytest.raises(ConnectionError):
        await policy.call(Flaky(9))
    await policy.call(Flaky(1))
    assert [type(event) for event in events] == [
        RetryScheduled,
        RetryScheduled,
        RetriesStopped,
        RetryScheduled,
    ]
    assert [getattr(event, "attempt", None) for event in events] == [1, 2, None, 1]
    assert (events[2].attempts, events[2].reason) == (3, "attempts")
    assert "upstream: gave up after attempt 3" in caplog.text


async def test_a_listener_that_fails_is_logged_and_harms_nothing(caplog):
    policy = quick()
    policy.add_listener(lambda event: 1 / 0)
    assert await policy.call(Flaky(1)) == "ok"
    assert "a listener failed" in caplog.text


async def test_a_listener_may_add_another_which_hears_of_the_next_event():
    policy, heard = quick(), []
    policy.add_listener(lambda event: policy.add_listener(heard.append) if len(heard) < 3 else None)
    await policy.call(Flaky(2))
    assert len(heard) == 1
    with pytest.raises(TypeError, match="listener must be callable"):
        policy.add_listener("print")


async def test_own_rejections_are_retried_only_when_named():
    clock = ManualClock()
    full = bulkhead(1)
    full._machine.try_acquire()
    for on, attempts in ((Exception, 1), (ResilienceError, 3), ((ValueError, ResilienceError), 3)):
        policy = quick(on=on, honor_retry_after=False)
        calls = []
        policy.add_listener(calls.append)
        with pytest.raises(ResilienceError):
            await Pipeline(retry=policy, bulkhead=full).call(Flaky(0))
        assert sum(isinstance(event, RetryScheduled) for event in calls) == attempts - 1
    breaker = CircuitBreaker(clock=clock)
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        await Pipeline(retry=quick(on=Exception), circuit_breaker=breaker).call(Flaky(0))


async def test_a_timeout_is_a_failure_and_not_a_rejection():
    flaky = Flaky(1, CallTimeoutError("inner", 1.0))
    assert await quick(on=Exception).call(flaky) == "ok"


async def test_a_predicate_decides():
    error = OSError("again")
    assert await quick(on=lambda e: "again" in str(e)).call(Flaky(1, error)) == "ok"
    with pytest.raises(OSError, match="again"):
        await quick(on=lambda e: False).call(Flaky(1, error))


async def run_with(clock, task, waits):
    for wait in waits:
        await settle()
        assert not task.done()
        clock.advance(wait - 1e-6)
        await settle()
        assert not task.done(), f"woke up before {wait} s"
        clock.advance(1e-6)
    await settle()


async def test_waits_grow_geometrically_on_the_policys_clock():
    clock = ManualClock()
    policy = retry(on=ConnectionError, attempts=5, wait_max=0.5, jitter="none", clock=clock)
    task = asyncio.create_task(policy.call(Flaky(4)))
    await run_with(clock, task, [0.1, 0.2, 0.4, 0.5])
    assert await task == "ok"


async def test_equal_seeds_wait_equally():
    async def waits(seed):
        clock, seen = ManualClock(), []
        policy = retry(on=ConnectionError, attempts=6, seed=seed, clock=clock)
        policy.add_listener(lambda event: seen.append(getattr(event, "wait", None)))
        task = asyncio.create_task(policy.call(Flaky(5)))
        for _ in range(5):
            await settle()
            clock.advance(10.0)
        await task
        return seen

    assert await waits(1) == await waits(1) != await waits(2)


class HttpError(Exception):
    def __init__(self, headers):
        self.headers = headers


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
        ({"RETRY-AFTER": formatdate(1_000_009, usegmt=True)}, 9.0),
        ({"Retry-After": formatdate(5, usegmt=True)}, 0.1),
        ({"Retry-After": "-1"}, 0.1),
        ({"Retry-After": "NaN"}, 0.1),
        ({"Retry-After": "soon"}, 0.1),
        ({"Retry-After": "inf"}, 0.1),
    ],
)
async def test_retry_after_is_honoured_in_all_its_forms(headers, wait):
    clock = ManualClock(1_000_000.0)
    policy = retry(on=HttpError, jitter="none", clock=clock)
    task = asyncio.create_task(policy.call(Flaky(1, HttpError(headers))))
    await run_with(clock, task, [wait])
    assert await task == "ok"


async def test_retry_after_of_a_response_is_found_and_can_be_ignored():
    class Response:
        headers = {"Retry-After": "3"}  # noqa: RUF012 - a double

    error = ConnectionError("busy")
    error.response = Response()
    clock = ManualClock()
    task = asyncio.create_task(retry(on=ConnectionError, jitter="none", clock=clock).call(Flaky(1, error)))
    await run_with(clock, task, [3.0])
    assert await task == "ok"
    ignoring = retry(on=ConnectionError, jitter="none", clock=clock, honor_retry_after=False)
    task = asyncio.create_task(ignoring.call(Flaky(1, error)))
    await run_with(clock, task, [0.1])
    assert await task == "ok"


async def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once():
    clock = ManualClock()
    policy = retry(on=HttpError, clock=clock)
    events = []
    policy.add_listener(events.append)
    flaky = Flaky(1, HttpError({"Retry-After": "5"}))
    with pytest.raises(HttpError):
        async with deadline(4.0, clock=clock):
            await policy.call(flaky)
    with pytest.raises(HttpError):
        await Pipeline(retry=policy, total_timeout=4.0, clock=clock).call(Flaky(1, flaky.error))
    assert [event.reason for event in events] == ["deadline", "deadline"]
    assert flaky.calls == 1


async def test_an_absurd_retry_after_ends_the_call_at_once():
    with pytest.raises(HttpError):
        await retry(on=HttpError).call(Flaky(1, HttpError({"Retry-After": "1000000000"})))


async def test_with_everything_failing_upstream_sees_at_most_the_ratio_more():
    policy = quick(attempts=5, budget=RetryBudget(ratio=0.2, min_per_second=0.0))
    flaky = Flaky(10**9)
    calls = 2_000
    for _ in range(calls):
        with pytest.raises(ConnectionError):
            await policy.call(flaky)
    assert calls < flaky.calls <= calls * 1.2


def test_a_budget_bounds_plain_functions_too_and_can_be_shared():
    budget = RetryBudget(ratio=0.5, min_per_second=0.0)
    flaky = Flaky(10**9)
    for policy in (quick(budget=budget), quick(budget=budget)):
        for _ in range(100):
            with pytest.raises(ConnectionError):
                policy.call_sync(flaky.sync)
    assert flaky.calls == 300


def test_a_budget_starts_with_one_second_and_earns_by_the_second():
    clock = ManualClock()
    budget = RetryBudget(ratio=0.0, min_per_second=2.0, clock=clock)
    budget.take()
    budget.take()
    with pytest.raises(RetryBudgetExhaustedError):
        budget.take()
    clock.advance(0.5)
    budget.take()
    assert budget.balance == pytest.approx(0.0)


def test_each_policy_has_a_budget_of_its_own_unless_told_otherwise():
    assert retry(on=ValueError).budget is not retry(on=ValueError).budget
    assert retry(on=ValueError, budget=None).budget is None
    with pytest.raises(TypeError, match="budget"):
        retry(on=ValueError, budget=3)


async def test_three_attempts_recover_nearly_all_calls_at_thirty_percent_transient_errors():
    rng = random.Random(20_260_101)
    policy = quick(attempts=3)

    async def upstream():
        attempts.append(1)
        if rng.random() < 0.3:
            raise ConnectionError

    failed_once = recovered = 0
    for _ in range(100_000):
        attempts = []
        try:
            await policy.call(upstream)
        except ConnectionError:
            failed_once += 1
        else:
            failed_once += len(attempts) > 1
            recovered += len(attempts) > 1
    assert failed_once > 29_000
    assert recovered / failed_once >= 0.9


async def test_a_cancelled_wait_ends_the_call():
    clock = ManualClock()
    flaky = Flaky(1)
    task = asyncio.create_task(retry(on=ConnectionError, jitter="none", clock=clock).call(flaky))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    clock.advance(10.0)
    assert flaky.calls == 1
