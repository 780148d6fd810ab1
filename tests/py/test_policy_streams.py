"""Generators under policies: one stream is one call, made again only before its first item."""

import asyncio
import inspect

import pytest

from resilience import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitBreaker,
    Pipeline,
    bulkhead,
    fallback,
    retry,
    timeout,
)
from resilience.testing import ManualClock
from support.until import settle


def quick_retry(**settings):
    return retry(**{"on": ConnectionError, "wait_initial": 0.0, "budget": None, **settings})


async def collect(stream):
    return [item async for item in stream]


class Script:
    """A stream that follows a script: items, errors, and waits for ever."""

    def __init__(self, *attempts):
        self.attempts = list(attempts)
        self.made = 0
        self.closed = 0

    async def __call__(self):
        script = self.attempts[self.made]
        self.made += 1
        try:
            for step in script:
                if isinstance(step, BaseException):
                    raise step
                if step is Ellipsis:
                    await asyncio.Event().wait()
                yield step
        finally:
            self.closed += 1

    def plain(self):
        script = self.attempts[self.made]
        self.made += 1
        for step in script:
            if isinstance(step, BaseException):
                raise step
            yield step


def test_kinds_are_kept():
    assert inspect.isasyncgenfunction(quick_retry()(Script.__call__))
    assert inspect.isgeneratorfunction(quick_retry()(Script.plain))


async def test_a_stream_is_made_again_only_before_its_first_item():
    script = Script([ConnectionError()], [ConnectionError()], [1, 2])
    assert await collect(quick_retry()(script)()) == [1, 2]
    broken = Script([1, ConnectionError("midway")], [1, 2])
    stream = quick_retry()(broken)()
    assert await anext(stream) == 1
    with pytest.raises(ConnectionError, match="midway"):
        await anext(stream)
    assert broken.made == 1


def test_plain_streams_too():
    script = Script([ConnectionError()], [1, 2])
    assert list(quick_retry()(script.plain)()) == [1, 2]
    with pytest.raises(ConnectionError):
        list(quick_retry()(Script([1, ConnectionError()]).plain)())


async def test_a_place_is_held_from_the_first_item_to_the_end():
    room = bulkhead(1)
    guarded = room(Script([1, 2], [3]))
    stream = guarded()
    assert room.in_flight == 0
    assert await anext(stream) == 1
    assert room.in_flight == 1
    with pytest.raises(BulkheadFullError):
        await anext(guarded())
    assert await anext(stream) == 2
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert room.in_flight == 0


async def test_leaving_early_gives_the_place_back_and_closes_the_stream():
    room, breaker = bulkhead(1), CircuitBreaker()
    script = Script([1, 2], [1, 2])
    guarded = Pipeline(bulkhead=room, circuit_breaker=breaker)(script)
    stream = guarded()
    assert await anext(stream) == 1
    await stream.aclose()
    assert (room.in_flight, script.closed) == (0, 1)
    await guarded().aclose()
    totals = breaker.get_stats()["totals"]
    assert (totals["successes"], totals["failures"]) == (1, 0)


async def test_asend_and_athrow_pass_through():
    @Pipeline(bulkhead=bulkhead(1), retry=quick_retry())
    async def echo():
        received = yield "ready"
        while True:
            try:
                received = yield received
            except KeyError as error:
                received = f"caught {error.args[0]}"

    stream = echo()
    assert await anext(stream) == "ready"
    assert await stream.asend("a") == "a"
    assert await stream.athrow(KeyError("b")) == "caught b"
    await stream.aclose()


def test_send_throw_and_the_result_pass_through_plain_streams():
    @bulkhead(1)
    def echo():
        received = yield "ready"
        try:
            yield received
        except KeyError:
            yield "caught"
        return "result"

    stream = echo()
    assert next(stream) == "ready"
    assert stream.send("a") == "a"
    assert stream.throw(KeyError("b")) == "caught"
    with pytest.raises(StopIteration) as caught:
        next(stream)
    assert caught.value.value == "result"


async def test_first_item_and_idle_are_timed_apart():
    clock = ManualClock()
    limit = timeout(first_item=5.0, idle=2.0, clock=clock)
    for script, allowed in (([...], 5.0), ([1, ...], 2.0)):
        stream = limit(Script(script))()
        for item in script[:-1]:
            assert await anext(stream) == item
        task = asyncio.create_task(anext(stream))
        await settle()
        clock.advance(allowed - 0.001)
        await settle()
        assert not task.done()
        clock.advance(0.001)
        with pytest.raises(CallTimeoutError) as caught:
            await task
        assert caught.value.timeout == allowed


async def test_the_consumers_own_time_is_not_idle_time():
    clock = ManualClock()
    stream = timeout(idle=2.0, clock=clock)(Script([1, 2]))()
    assert await anext(stream) == 1
    clock.advance(100.0)
    assert await anext(stream) == 2


async def test_a_whole_stream_has_an_end():
    clock = ManualClock()
    for policy in (timeout(5.0, clock=clock), Pipeline(total_timeout=5.0, clock=clock)):
        stream = policy(Script([1, 2, ...]))()
        assert await anext(stream) == 1
        clock.advance(3.0)
        assert await anext(stream) == 2
        task = asyncio.create_task(anext(stream))
        await settle()
        clock.advance(2.0)
        with pytest.raises(CallTimeoutError, match="timed out after"):
            await task


async def test_a_first_item_that_comes_too_late_is_tried_again():
    clock = ManualClock()
    pipeline = Pipeline(
        retry=quick_retry(on=CallTimeoutError, clock=clock), timeout=timeout(first_item=5.0, clock=clock)
    )
    script = Script([...], [1])
    task = asyncio.create_task(collect(pipeline(script)()))
    await settle()
    clock.advance(5.0)
    assert await task == [1]
    assert script.closed == 2


async def test_a_fallback_stream_replaces_one_that_never_began():
    async def stale():
        yield "stale"

    failing = fallback(stale, on=ConnectionError)(Script([ConnectionError()], [1, ConnectionError()]))
    assert await collect(failing()) == ["stale"]
    with pytest.raises(ConnectionError):
        await collect(failing())
    listed = fallback(["a", "b"], on=ConnectionError)
    assert await collect(listed(Script([ConnectionError()]))()) == ["a", "b"]
    assert list(listed(Script([ConnectionError()]).plain)()) == ["a", "b"]


async def test_a_cancelled_step_ends_the_stream_and_frees_its_place():
    room = bulkhead(1)
    stream = room(Script([1, ...]))()
    assert await anext(stream) == 1
    task = asyncio.create_task(anext(stream))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.in_flight == 0


async def test_an_empty_stream_is_a_success():
    breaker = CircuitBreaker()
    assert await collect(Pipeline(circuit_breaker=breaker)(Script([]))()) == []
    assert breaker.get_stats()["totals"]["successes"] == 1
