"""What a circuit breaker promises, seen through its public face. The machine alone is tested in C++."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from resilience import (
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    State,
)
from support.breakers import UpstreamError, fail, open_it, succeed


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("upstream", clock=clock, recovery_jitter=0.0)


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


async def test_wall_clock_is_only_for_people(clock):
    breaker = CircuitBreaker(clock=clock, recovery_jitter=0.0)
    clock.advance(100)
    await open_it(breaker)
    assert breaker.last_failure_time == 100.0
    assert breaker.opened_until == 130.0


def test_no_lock_is_held_while_user_code_runs(breaker):
    def nested():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(breaker.call_sync, lambda: breaker.get_stats()["state"]).result(timeout=60)

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
