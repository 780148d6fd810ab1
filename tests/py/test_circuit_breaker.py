"""What a circuit breaker promises, seen through its public face. The machine alone is tested in C++."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import resilience
from resilience import (
    BulkheadFullError,
    CallFailed,
    CallRejected,
    CallSucceeded,
    CallTimeoutError,
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitOpenError,
    Reset,
    SlowCall,
    State,
    StateChanged,
)
from resilience.testing import ManualClock


class UpstreamError(Exception):
    """What the callee raises."""


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("upstream", clock=clock, recovery_jitter=0.0)


async def succeed():
    return "answer"


async def fail():
    raise UpstreamError


async def open_it(breaker):
    while breaker.state is not State.OPEN:
        with pytest.raises(UpstreamError):
            await breaker.call(fail)


async def test_opens_after_three_failures_and_rejects_without_calling(breaker):
    calls = []

    async def counted():
        calls.append(1)
        raise UpstreamError

    for _ in range(3):
        with pytest.raises(UpstreamError):
            await breaker.call(counted)
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(counted)
    assert len(calls) == 3
    assert caught.value.name == "upstream"
    assert caught.value.retry_after == 30.0


async def test_probes_and_closes_after_the_recovery_timeout(breaker, clock):
    await open_it(breaker)
    clock.advance(30)
    assert breaker.state is State.OPEN  # reading changes nothing
    await breaker.call(succeed)
    assert breaker.state is State.HALF_OPEN
    await breaker.call(succeed)
    assert breaker.state is State.CLOSED
    assert breaker.failure_count == 0


async def test_a_late_success_does_not_close_an_open_breaker(breaker):
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        return "late"

    task = asyncio.create_task(breaker.call(slow))
    await asyncio.sleep(0)
    await open_it(breaker)
    gate.set()
    assert await task == "late"
    assert breaker.state is State.OPEN
    assert breaker.get_stats()["totals"]["late"] == 1


async def test_a_late_failure_does_not_restart_the_open_time(breaker, clock):
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        raise UpstreamError

    task = asyncio.create_task(breaker.call(slow))
    await asyncio.sleep(0)
    await open_it(breaker)
    until = breaker.opened_until
    clock.advance(20)
    gate.set()
    with pytest.raises(UpstreamError):
        await task
    assert breaker.opened_until == until


async def test_cancellation_is_no_verdict_and_gives_the_slot_back(breaker, clock):
    await open_it(breaker)
    clock.advance(30)
    for _ in range(5):
        probe = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
    assert breaker.state is State.HALF_OPEN
    assert await breaker.call(succeed) == "answer"


async def test_three_cancels_open_nothing(breaker):
    for _ in range(3):
        task = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state is State.CLOSED
    assert breaker.get_stats()["totals"]["cancelled"] == 3


async def test_ten_calls_cut_off_by_an_outer_timeout_are_seen_as_slow(clock):
    breaker = CircuitBreaker(
        clock=clock, slow_call_duration=1.0, slow_call_rate_threshold=0.5, failure_threshold=3
    )
    for _ in range(10):
        task = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        clock.advance(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state is State.OPEN


async def test_a_hung_probe_cannot_wedge_half_open(clock):
    breaker = CircuitBreaker(clock=clock, recovery_jitter=0.0, probe_timeout=5.0)
    await open_it(breaker)
    clock.advance(30)
    hung = asyncio.create_task(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(succeed)
    assert caught.value.retry_after == 5.0
    clock.advance(5)
    await breaker.call(succeed)
    await breaker.call(succeed)
    assert breaker.state is State.CLOSED
    hung.cancel()
    await asyncio.wait([hung])
    assert breaker.state is State.CLOSED


async def test_half_open_gives_its_verdict_without_waiting_for_other_probes(clock):
    breaker = CircuitBreaker(
        clock=clock, recovery_jitter=0.0, half_open_requests=4, half_open_concurrency=4, success_threshold=2
    )
    await open_it(breaker)
    clock.advance(30)
    waiting = asyncio.create_task(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    await asyncio.gather(breaker.call(succeed), breaker.call(succeed))
    assert breaker.state is State.CLOSED
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_fifty_calls_at_recovery_are_no_herd(breaker, clock):
    await open_it(breaker)
    clock.advance(30)
    running = most = ran = 0

    async def counted():
        nonlocal running, most, ran
        running += 1
        ran += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    results = await asyncio.gather(*(breaker.call(counted) for _ in range(50)), return_exceptions=True)
    rejected = [r for r in results if isinstance(r, CircuitOpenError)]
    assert most == 1
    assert ran <= 2
    assert len(rejected) == 50 - ran
    assert all(r.retry_after is not None for r in rejected)


async def test_a_probe_that_an_inner_policy_rejects_gives_its_slot_back(breaker, clock):
    await open_it(breaker)
    clock.advance(30)

    async def full():
        raise BulkheadFullError("inner")

    for _ in range(5):
        with pytest.raises(BulkheadFullError):
            await breaker.call(full)
    assert breaker.state is State.HALF_OPEN
    assert await breaker.call(succeed) == "answer"


async def test_an_ignored_exception_is_a_release_not_a_success(clock):
    breaker = CircuitBreaker(clock=clock, recovery_jitter=0.0, ignore=KeyError)
    await open_it(breaker)
    clock.advance(30)

    async def miss():
        raise KeyError

    for _ in range(5):
        with pytest.raises(KeyError):
            await breaker.call(miss)
    assert breaker.state is State.HALF_OPEN


async def test_every_rejection_is_a_new_error_and_its_traceback_does_not_grow(breaker):
    await open_it(breaker)
    errors = []
    for _ in range(3):
        with pytest.raises(CircuitOpenError) as caught:
            await breaker.call(succeed)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    depths = set()
    for error in errors:
        depth, trace = 0, error.__traceback__
        while trace is not None:
            depth, trace = depth + 1, trace.tb_next
        depths.add(depth)
    assert depths == {1}


async def test_every_way_in_is_gated(breaker):
    decorated = breaker(succeed)

    @breaker
    def plain():
        return 1

    @breaker
    async def stream():
        yield 1

    @breaker
    def generator():
        yield 1

    await open_it(breaker)
    with pytest.raises(CircuitOpenError):
        await breaker.call(succeed)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(lambda: 1)
    with pytest.raises(CircuitOpenError):
        await decorated()
    with pytest.raises(CircuitOpenError):
        plain()
    with pytest.raises(CircuitOpenError):
        await anext(stream())
    with pytest.raises(CircuitOpenError):
        next(generator())
    ran = []
    with pytest.raises(CircuitOpenError):
        async with breaker:
            ran.append("async with")
    with pytest.raises(CircuitOpenError), breaker:
        ran.append("with")
    with pytest.raises(CircuitOpenError), breaker.guard():
        ran.append("guard")
    assert ran == []


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


async def test_wall_clock_is_only_for_people(clock):
    breaker = CircuitBreaker(clock=clock, recovery_jitter=0.0)
    clock.advance(100)
    await open_it(breaker)
    assert breaker.last_failure_time == 100.0
    assert breaker.opened_until == 130.0


def test_no_lock_is_held_while_user_code_runs(breaker):
    def nested():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(breaker.call_sync, lambda: breaker.get_stats()["state"]).result(timeout=5)

    assert breaker.call_sync(nested) == "closed"


def test_threads_and_loops_share_one_breaker_and_totals_are_conserved(breaker):
    async def some():
        await asyncio.gather(*(breaker.call(succeed) for _ in range(500)))

    threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.get_stats()["totals"]["successes"] == 2000


@pytest.mark.parametrize("bad", [-1, float("nan"), 0, "soon", None, object(), [], -(10**400)])
def test_trip_ignores_what_is_no_positive_number(breaker, bad):
    breaker.trip(bad)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("huge", [1e9, float("inf"), "1e12"])
def test_trip_is_clamped_to_the_longest_recovery(breaker, huge):
    breaker.trip(huge)
    assert breaker.opened_until == 300.0


async def test_trip_opens_for_as_long_as_it_is_told(breaker, clock):
    breaker.trip(45)
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(succeed)
    assert caught.value.retry_after == 45.0
    clock.advance(45)
    assert await breaker.call(succeed) == "answer"


async def test_metrics_only_records_and_never_rejects(breaker):
    breaker.metrics_only()
    for _ in range(10):
        with pytest.raises(UpstreamError):
            await breaker.call(fail)
    assert breaker.state is State.METRICS_ONLY
    assert breaker.failure_count == 10


async def test_forced_open_has_a_reason_and_a_time_to_live(breaker, clock):
    events = []
    breaker.add_listener(events.append)
    breaker.force_open("maintenance", ttl=60)
    assert breaker.get_stats()["reason"] == "maintenance"
    assert events[0].reason == "maintenance"
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(succeed)
    assert caught.value.retry_after == 60.0
    clock.advance(60)
    assert breaker.state is State.CLOSED
    assert await breaker.call(succeed) == "answer"
    assert breaker.get_stats()["reason"] is None


def test_forced_open_without_an_end_knows_no_retry_after(breaker):
    breaker.force_open()
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call_sync(lambda: 1)
    assert caught.value.retry_after is None
    with pytest.raises(ValueError, match="ttl must be"):
        breaker.force_open(ttl=0)


async def test_disabled_passes_through_unrecorded(breaker):
    breaker.disable()
    with pytest.raises(UpstreamError):
        await breaker.call(fail)
    assert breaker.get_stats()["totals"]["failures"] == 0


def http_error(status, where="status_code"):
    error = UpstreamError()
    if where == "response":
        error.response = type("Response", (), {"status_code": status})()
    else:
        setattr(error, where, status)
    return error


@pytest.mark.parametrize("where", ["status_code", "status", "response"])
@pytest.mark.parametrize(
    ("status", "counts"), [(400, 0), (401, 0), (404, 0), (408, 1), (429, 1), (499, 0), (500, 1), (503, 1)]
)
def test_a_callers_own_mistake_opens_nothing(breaker, where, status, counts):
    def answer():
        raise http_error(status, where)

    with pytest.raises(UpstreamError):
        breaker.call_sync(answer)
    assert breaker.failure_count == counts


def test_a_timeout_of_the_library_is_a_failure_and_its_rejections_are_not(breaker):
    def time_out():
        raise CallTimeoutError("call", 1.0)

    def reject():
        raise CircuitOpenError("inner", 1.0)

    with pytest.raises(CallTimeoutError):
        breaker.call_sync(time_out)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(reject)
    assert breaker.failure_count == 1
    assert breaker.get_stats()["totals"]["ignored"] == 1


@pytest.mark.parametrize(
    "rule",
    [UpstreamError, (OSError, UpstreamError), lambda error: isinstance(error, UpstreamError)],
    ids=["type", "tuple", "predicate"],
)
def test_failure_on_decides_what_counts(clock, rule):
    breaker = CircuitBreaker(clock=clock, failure_on=rule)

    def other():
        raise KeyError

    def upstream():
        raise UpstreamError

    with pytest.raises(KeyError):
        breaker.call_sync(other)
    assert breaker.failure_count == 0
    with pytest.raises(UpstreamError):
        breaker.call_sync(upstream)
    assert breaker.failure_count == 1


def test_an_inner_rejection_counts_only_when_it_is_named(clock):
    def full():
        raise BulkheadFullError("inner")

    for rule, counts in ((Exception, 0), (BulkheadFullError, 1)):
        breaker = CircuitBreaker(clock=clock, failure_on=rule)
        with pytest.raises(BulkheadFullError):
            breaker.call_sync(full)
        assert breaker.failure_count == counts


def test_a_result_can_be_a_failure(clock):
    breaker = CircuitBreaker(clock=clock, failure_threshold=1, failure_result=lambda value: value is None)
    assert breaker.call_sync(lambda: None) is None
    assert breaker.state is State.OPEN


async def test_a_fallback_replaces_rejections_only(clock):
    breaker = CircuitBreaker(clock=clock, failure_threshold=1, fallback="cached")
    with pytest.raises(UpstreamError):
        await breaker.call(fail)
    assert await breaker.call(fail) == "cached"
    assert breaker.call_sync(lambda: 1) == "cached"


async def test_a_fallback_function_gets_the_calls_arguments(clock):
    async def stale(key, *, region):
        return f"stale {key} {region}"

    breaker = CircuitBreaker(clock=clock, fallback=stale)

    @breaker
    async def fetch(key, *, region):
        return f"fresh {key} {region}"

    assert await fetch("k", region="eu") == "fresh k eu"
    breaker.force_open()
    assert await fetch("k", region="eu") == "stale k eu"
    with pytest.raises(TypeError, match="async fallback"):
        breaker(lambda: 1)


async def test_permits_of_with_blocks_are_kept_per_task(breaker):
    order = []

    async def block(name, gate):
        async with breaker:
            order.append(name)
            await gate.wait()

    gates = [asyncio.Event(), asyncio.Event()]
    tasks = [asyncio.create_task(block(i, gate)) for i, gate in enumerate(gates)]
    await asyncio.sleep(0)
    gates[0].set()
    await tasks[0]
    gates[1].set()
    await tasks[1]
    with breaker, breaker:
        order.append("nested")
    assert order == [0, 1, "nested"]
    assert breaker.success_count == 4


def test_a_guard_is_for_one_block(breaker):
    guard = breaker.guard()
    with guard:
        pass
    with pytest.raises(RuntimeError, match="entered once"), guard:
        pass
    with pytest.raises(UpstreamError), breaker.guard():
        raise UpstreamError
    assert breaker.failure_count == 1
    assert breaker.success_count == 1


def test_outcomes_observed_elsewhere_count(breaker):
    breaker.record_success(0.1)
    for _ in range(3):
        breaker.record_failure(UpstreamError(), 0.2)
    assert breaker.state is State.OPEN
    breaker.record_success(0.1)
    assert breaker.get_stats()["totals"]["late"] == 1


def test_statistics_are_ready_for_json(breaker):
    import json

    breaker.call_sync(lambda: 1)
    stats = json.loads(json.dumps(breaker.get_stats()))
    assert {"state", "failure_count", "success_count", "last_failure_time"} <= stats.keys()
    assert stats["totals"]["successes"] == 1
    assert stats["latency"]["p99"] is not None


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("failure_threshold", -1, ValueError),
        ("failure_threshold", "3", TypeError),
        ("failure_threshold", 2.5, TypeError),
        ("failure_rate_threshold", 0.0, ValueError),
        ("failure_rate_threshold", 60, ValueError),
        ("failure_rate_threshold", float("nan"), ValueError),
        ("minimum_calls", 0, ValueError),
        ("slow_call_duration", -1.0, ValueError),
        ("slow_call_rate_threshold", 0.5, ValueError),
        ("monitor_window", 0, ValueError),
        ("monitor_window", None, TypeError),
        ("window_calls", 0, ValueError),
        ("recovery_timeout", float("inf"), ValueError),
        ("recovery_timeout", True, TypeError),
        ("recovery_jitter", 1.0, ValueError),
        ("recovery_backoff", 0.5, ValueError),
        ("max_recovery_timeout", 1.0, ValueError),
        ("success_threshold", 0, ValueError),
        ("half_open_requests", 1, ValueError),
        ("half_open_concurrency", 0, ValueError),
        ("probe_timeout", 0, ValueError),
        ("failure_on", "Exception", TypeError),
        ("ignore", "KeyError", TypeError),
        ("failure_result", 3, TypeError),
        ("clock", 3, TypeError),
    ],
)
def test_a_bad_argument_is_named_at_construction(setting, value, error):
    with pytest.raises(
        error, match="slow_call_duration" if setting == "slow_call_rate_threshold" else setting
    ):
        CircuitBreaker(**{setting: value})


def test_a_rate_threshold_turns_the_default_of_consecutive_failures_off(clock):
    breaker = CircuitBreaker(clock=clock, failure_rate_threshold=0.5)
    for _ in range(9):
        breaker.record_failure(UpstreamError(), 0.0)
    assert breaker.state is State.CLOSED
    breaker.record_failure(UpstreamError(), 0.0)
    assert breaker.state is State.OPEN


def test_config_constants_are_its_defaults():
    assert CircuitBreakerConfig.FAILURE_THRESHOLD == 3
    assert CircuitBreakerConfig.RECOVERY_TIMEOUT == CircuitBreakerConfig().recovery_timeout == 30
    assert CircuitBreakerConfig.HALF_OPEN_REQUESTS == 2
    assert CircuitBreakerConfig.MONITOR_WINDOW == CircuitBreakerConfig().monitor_window == 60
    assert CircuitBreakerConfig.from_mapping({"failure_threshold": 5}).failure_threshold == 5
    with pytest.raises(ValueError, match="failure_treshold"):
        CircuitBreakerConfig.from_mapping({"failure_treshold": 5})


def test_the_registry_makes_once_and_refuses_another_configuration():
    first = resilience.get_circuit_breaker("registry-test", failure_threshold=5)
    assert resilience.get_circuit_breaker("registry-test") is first
    assert resilience.get_circuit_breaker("registry-test", failure_threshold=5) is first
    with pytest.raises(ValueError, match="another configuration"):
        resilience.get_circuit_breaker("registry-test", failure_threshold=6)
    assert resilience.get_all_circuit_breakers()["registry-test"] is first
    resilience.remove_circuit_breaker("registry-test")
    assert "registry-test" not in resilience.get_all_circuit_breakers()
    with pytest.raises(KeyError):
        resilience.remove_circuit_breaker("registry-test")


def test_breakers_made_directly_are_listed_while_they_live():
    breaker = CircuitBreaker("short-lived")
    newer = CircuitBreaker("short-lived")
    assert resilience.get_all_circuit_breakers()["short-lived"] is newer
    del breaker, newer
    assert "short-lived" not in resilience.get_all_circuit_breakers()
