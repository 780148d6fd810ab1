"""Pipelines: the order of policies, what they share, and what a call looks like from outside."""

import asyncio
import gc
import inspect
import threading
import weakref

import pytest

from resilience import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    Pipeline,
    RateLimitedError,
    adaptive_limit,
    bulkhead,
    deadline,
    deadline_headers,
    fallback,
    hedge,
    rate_limit,
    remaining,
    retry,
    timeout,
)
from resilience.testing import FaultInjector, ManualClock
from support.policies import Flaky, Gate
from support.until import settle


def everything(clock, **policies):
    return Pipeline(
        **{
            "total_timeout": 30.0,
            "retry": retry(on=ConnectionError, wait_initial=0.0, budget=None, clock=clock),
            "circuit_breaker": CircuitBreaker(failure_threshold=100, clock=clock),
            "rate_limit": rate_limit(1e6, clock=clock),
            "bulkhead": bulkhead(10, max_waiting=10, clock=clock),
            "adaptive_limit": adaptive_limit(clock=clock),
            "timeout": 5.0,
            "clock": clock,
            **policies,
        }
    )


async def test_every_attempt_passes_breaker_and_limits():
    clock = ManualClock()
    breaker = CircuitBreaker(failure_threshold=100, clock=clock)
    limit = rate_limit(10, clock=clock)
    pipeline = everything(clock, circuit_breaker=breaker, rate_limit=limit)
    assert await pipeline.call(Flaky(2)) == "ok"
    totals = breaker.get_stats()["totals"]
    assert (totals["successes"], totals["failures"]) == (1, 2)
    for _ in range(7):
        await limit.call(Flaky(0))
    with pytest.raises(RateLimitedError):
        await limit.call(Flaky(0))


async def test_the_breaker_does_not_count_what_limits_inside_it_reject():
    breaker = CircuitBreaker(failure_threshold=1)
    room = bulkhead(1)
    room._machine.try_acquire()
    for _ in range(5):
        with pytest.raises(BulkheadFullError):
            await Pipeline(circuit_breaker=breaker, bulkhead=room).call(Flaky(0))
    assert breaker.state == "closed"
    limited = Pipeline(circuit_breaker=breaker, rate_limit=rate_limit(1, clock=ManualClock()))
    await limited.call(Flaky(0))
    with pytest.raises(RateLimitedError):
        await limited.call(Flaky(0))
    assert breaker.state == "closed"


async def test_a_timeout_of_an_attempt_is_the_breakers_failure():
    clock = ManualClock()
    breaker = CircuitBreaker(failure_threshold=1, clock=clock)
    task = asyncio.create_task(Pipeline(circuit_breaker=breaker, timeout=5.0, clock=clock).call(Gate()))
    await settle()
    clock.advance(5.0)
    with pytest.raises(CallTimeoutError):
        await task
    assert breaker.state == "open"


async def test_an_open_breaker_takes_nothing_from_the_limits_inside_it():
    breaker, limit = CircuitBreaker(), rate_limit(1, clock=ManualClock())
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        await Pipeline(circuit_breaker=breaker, rate_limit=limit).call(Flaky(0))
    assert await limit.call(Flaky(0)) == "ok"


async def test_the_timeout_of_an_attempt_does_not_count_waiting_for_a_place():
    clock = ManualClock()
    room, gate = bulkhead(1, max_waiting=1), Gate()
    holder = asyncio.create_task(room.call(gate))
    await settle()
    pipeline = Pipeline(bulkhead=room, timeout=5.0, clock=clock)
    waiter = asyncio.create_task(pipeline.call(Gate()))
    await settle()
    clock.advance(100.0)
    gate.open()
    await settle()
    assert not waiter.done()
    clock.advance(5.0)
    with pytest.raises(CallTimeoutError):
        await waiter
    await holder


async def test_each_attempt_has_its_own_timeout_and_all_share_the_total():
    clock = ManualClock()
    pipeline = Pipeline(
        total_timeout=12.0,
        retry=retry(on=CallTimeoutError, attempts=5, wait_initial=0.0, clock=clock),
        timeout=timeout(5.0, name="attempt", clock=clock),
        clock=clock,
        name="total",
    )
    gates = []

    async def attempt():
        gates.append(Gate())
        await gates[-1]()

    task = asyncio.create_task(pipeline.call(attempt))
    for expected in (1, 2, 3):
        await settle()
        assert len(gates) == expected
        clock.advance(5.0 if expected < 3 else 2.0)
    with pytest.raises(CallTimeoutError) as caught:
        await task
    assert (caught.value.name, clock.now()) == ("total", 12.0)


async def test_a_retry_that_would_wait_beyond_the_total_timeout_ends_the_call_at_once():
    clock = ManualClock()
    pipeline = Pipeline(
        total_timeout=1.0,
        retry=retry(on=ConnectionError, wait_initial=2.0, jitter="none", clock=clock),
        clock=clock,
    )
    with pytest.raises(ConnectionError):
        await pipeline.call(Flaky(1))
    assert clock.now() == 0.0


async def test_state_belongs_to_the_policies_and_is_shared():
    room, gate = bulkhead(1), Gate()
    first, second = Pipeline(bulkhead=room), Pipeline(bulkhead=room)
    task = asyncio.create_task(first.call(gate))
    await settle()
    for policy in (second, room):
        with pytest.raises(BulkheadFullError):
            await policy.call(gate)
    gate.open()
    await task


async def test_a_decorated_function_keeps_its_kind_signature_and_name():
    pipeline = everything(ManualClock())

    class Service:
        @pipeline
        async def fetch(self, key: str, *, fresh: bool = False) -> str:
            """Fetch it."""
            return f"{key} {fresh}"

    assert inspect.iscoroutinefunction(Service.fetch)
    assert (Service.fetch.__name__, Service.fetch.__doc__) == ("fetch", "Fetch it.")
    assert list(inspect.signature(Service.fetch).parameters) == ["self", "key", "fresh"]
    assert await Service().fetch("a", fresh=True) == "a True"


async def test_many_arguments_and_keywords_reach_the_function_and_every_further_attempt():
    calls = []

    async def record(*args, **kwargs):
        calls.append((args, kwargs))
        if len(calls) < 3:
            raise ConnectionError

    await everything(ManualClock()).call(record, *range(9), key="value", other=3)
    assert calls == [(tuple(range(9)), {"key": "value", "other": 3})] * 3


async def test_an_error_of_the_function_reaches_the_caller_as_itself():
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        await everything(ManualClock()).call(Flaky(1, error))
    assert caught.value is error
    assert caught.value.__context__ is None


async def test_on_the_fast_path_no_python_frame_is_between_caller_and_function():
    frames = []

    async def look():
        frames.append(inspect.stack(0))

    async def caller():
        await everything(ManualClock()).call(look)

    await caller()
    assert [frame.function for frame in frames[0][:2]] == ["look", "caller"]


async def test_a_suspended_call_shows_the_functions_stack():
    gate = Gate()
    task = asyncio.create_task(everything(ManualClock()).call(gate))
    await settle()
    coroutine = task.get_coro()
    assert coroutine.cr_suspended
    assert [frame.f_code.co_name for frame in task.get_stack()][:1] == ["__call__"]
    gate.open()
    await task


async def test_a_call_is_made_once():
    coroutine = everything(ManualClock()).call(Flaky(0))
    await coroutine
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await coroutine


def test_a_call_that_is_never_awaited_warns_and_takes_nothing():
    room = bulkhead(1)
    guarded = Pipeline(bulkhead=room, retry=retry(on=ValueError))
    with pytest.warns(RuntimeWarning, match="never awaited"):
        guarded.call(Flaky(0)).__repr__()
    assert room.in_flight == 0


async def test_closing_a_suspended_call_gives_everything_back():
    clock = ManualClock()
    pipeline = everything(clock)
    coroutine = pipeline.call(Gate())
    coroutine.send(None)
    room = pipeline._members.bulkhead
    assert room.in_flight == 1
    coroutine.close()
    assert (room.in_flight, pipeline._members.adaptive_limit.in_flight) == (0, 0)
    clock.advance(100.0)
    assert asyncio.current_task().cancelling() == 0


async def test_a_collected_suspended_call_gives_everything_back():
    pipeline = everything(ManualClock())
    room = pipeline._members.bulkhead
    coroutine = pipeline.call(Gate())
    coroutine.send(None)
    del coroutine
    gc.collect()
    assert room.in_flight == 0


def test_cycles_through_a_call_are_collected():
    class Holder:
        pass

    async def hold(holder):
        await Gate()()

    async def main():
        holder = Holder()
        holder.call = everything(ManualClock()).call(hold, holder)
        holder.call.send(None)
        return weakref.ref(holder)

    reference = asyncio.run(main())
    gc.collect()
    assert reference() is None


def test_plain_functions_and_threads_share_the_limits():
    room = bulkhead(2, max_waiting=100)
    pipeline = Pipeline(
        retry=retry(on=ConnectionError, wait_initial=0.0, budget=None),
        circuit_breaker=CircuitBreaker(failure_threshold=10_000),
        bulkhead=room,
        adaptive_limit=adaptive_limit(),
        fallback=fallback("fallback", on=ConnectionError),
    )
    peak, inside, lock = [], [], threading.Lock()

    @pipeline
    def work(n):
        with lock:
            inside.append(n)
            peak.append(len(inside))
        try:
            if n % 3 == 0:
                raise ConnectionError
            return n
        finally:
            with lock:
                inside.remove(n)

    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.extend(work(n * 100 + i) for i in range(50)))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert max(peak) <= 2
    assert (room.in_flight, room.waiting) == (0, 0)


async def test_policies_can_be_replaced_while_calls_are_under_way():
    old, new, gate = bulkhead(1), bulkhead(1), Gate()
    pipeline = Pipeline(bulkhead=old)
    first = asyncio.create_task(pipeline.call(gate))
    await settle()
    pipeline.replace(bulkhead=new)
    second = asyncio.create_task(pipeline.call(gate))
    await settle()
    assert (old.in_flight, new.in_flight) == (1, 1)
    with pytest.raises(TypeError, match="no policy 'bulkheads'"):
        pipeline.replace(bulkheads=old)
    gate.open()
    await asyncio.gather(first, second)
    assert (old.in_flight, new.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("policies", "error"),
    [
        ({"retry": 3}, TypeError),
        ({"bulkhead": rate_limit(1)}, TypeError),
        ({"circuit_breaker": "name"}, TypeError),
        ({"total_timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"total_timeout": timeout(idle=1.0)}, TypeError),
        ({"name": 3}, TypeError),
    ],
)
def test_policies_of_another_kind_are_refused_by_name(policies, error):
    name = "seconds" if error is ValueError else next(iter(policies))
    with pytest.raises(error, match=name):
        Pipeline(**policies)


async def test_the_remaining_deadline_reaches_nested_tasks_and_upstreams():
    clock = ManualClock()
    seen = []

    async def nested():
        seen.append((remaining(), deadline_headers("X-Deadline")))

    async with deadline(3.0, clock=clock):
        clock.advance(1.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(everything(clock).call(nested))
    assert seen == [(2.0, {"X-Deadline": "2000"})]
    assert deadline_headers() == {}


async def test_faults_in_the_same_pipeline_are_seen_by_every_policy():
    clock = ManualClock()
    faults = FaultInjector(error_rate=1.0, error=ConnectionError("injected"), seed=1)
    breaker = CircuitBreaker(failure_threshold=3, clock=clock)

    @everything(clock, circuit_breaker=breaker)
    @faults
    async def call():
        return 1

    with pytest.raises(ConnectionError, match="injected"):
        await call()
    assert faults.injected == {"error": 3}
    assert breaker.state == "open"


async def test_hedge_and_retry_work_together():
    clock = ManualClock()
    pipeline = Pipeline(
        retry=retry(on=ConnectionError, wait_initial=0.0, clock=clock),
        hedge=hedge(1.0, clock=clock),
        clock=clock,
    )
    flaky = Flaky(2)
    assert await pipeline.call(flaky) == "ok"
    assert flaky.calls == 3
