"""Guarded generators speak the protocols of generators, in every loop and thread."""

import asyncio
import contextlib
import gc
import inspect
import threading
from typing import Annotated

import anyio
import anyio.lowlevel
import fastapi
import httpx
import pytest

from resilience import CircuitBreaker, CircuitOpenError, State
from support.streams import counting, counting_plainly, totals


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("streams", failure_threshold=2, recovery_jitter=0.0, ignore=KeyError, clock=clock)


async def test_asend_and_athrow_pass_through(breaker):
    @breaker
    async def echo():
        got = yield "ready"
        while True:
            try:
                got = yield got
            except ValueError as error:
                got = f"caught {error}"

    talk = echo()
    assert await talk.asend(None) == "ready"
    assert await talk.asend("one") == "one"
    assert await talk.athrow(ValueError("thrown")) == "caught thrown"
    assert await talk.asend("two") == "two"
    await talk.aclose()
    assert totals(breaker) == {"successes": 1}


def test_send_throw_and_the_return_value_pass_through(breaker):
    @breaker
    def echo():
        got = yield "ready"
        try:
            yield got
        except ValueError as error:
            yield str(error)
        return "returned"

    def delegating():
        return (yield from echo())

    talk = delegating()
    assert next(talk) == "ready"
    assert talk.send("one") == "one"
    assert talk.throw(ValueError("thrown")) == "thrown"
    with pytest.raises(StopIteration) as end:
        next(talk)
    assert end.value.value == "returned"
    assert totals(breaker) == {"successes": 1}


async def test_an_error_thrown_in_that_comes_back_is_the_consumers(breaker):
    items = counting(breaker)(3)
    await anext(items)
    error = OSError("the consumer's")
    with pytest.raises(OSError, match="the consumer's") as caught:
        await items.athrow(error)
    assert caught.value is error
    assert totals(breaker) == {"cancelled": 1}


async def test_an_error_that_the_function_makes_of_one_thrown_in_is_its_own(breaker):
    @breaker
    async def stream():
        try:
            yield 1
        except ValueError:
            raise OSError("its own") from None

    items = stream()
    await anext(items)
    with pytest.raises(OSError, match="its own"):
        await items.athrow(ValueError())
    assert totals(breaker) == {"failures": 1}


async def test_a_value_sent_to_a_stream_that_has_not_started_is_refused_and_counts_for_nothing(breaker):
    items = counting(breaker)(2)
    with pytest.raises(TypeError, match="just-started async generator"):
        await items.asend("too early")
    plain = counting_plainly(breaker)(2)
    with pytest.raises(TypeError, match="just-started generator"):
        plain.send("too early")
    assert totals(breaker) == {}
    assert [item async for item in items] == [0, 1]
    assert list(plain) == [0, 1]
    assert totals(breaker) == {"successes": 2}


async def test_two_consumers_at_once_are_refused_without_harm_to_the_first(breaker):
    go = asyncio.Event()

    @breaker
    async def stream():
        await go.wait()
        yield 1

    items = stream()
    first = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already running"):
        await anext(items)
    with pytest.raises(RuntimeError, match="already running"):
        await items.aclose()
    go.set()
    assert await first == 1
    assert [item async for item in items] == []
    assert totals(breaker) == {"successes": 1}


def test_a_plain_stream_that_asks_itself_for_an_item_is_refused_without_harm(breaker):
    seen = []

    @breaker
    def stream():
        with pytest.raises(ValueError, match="already executing"):
            next(items)
        seen.append(True)
        yield 1

    items = stream()
    assert list(items) == [1]
    assert seen == [True]
    assert totals(breaker) == {"successes": 1}


def test_wrong_arguments_raise_at_the_call_as_for_any_generator_function(breaker):
    with pytest.raises(TypeError, match="limit"):
        counting(breaker)()
    with pytest.raises(TypeError, match="limit"):
        counting_plainly(breaker)()
    gc.collect()
    assert totals(breaker) == {}


async def test_streams_show_the_generators_attributes(breaker):
    count = counting(breaker)
    assert inspect.isasyncgenfunction(count)
    items = count(2)
    await anext(items)
    assert items.ag_frame.f_locals["number"] == 0
    assert items.ag_code.co_name == "count"
    assert items.ag_running is False
    assert items.__name__ == "count"
    assert "count" in repr(items)
    plain = counting_plainly(breaker)
    assert inspect.isgeneratorfunction(plain)
    assert plain(2).gi_code.co_name == "count"
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = items.other
    await items.aclose()


async def test_a_guarded_generator_makes_an_async_context_manager(breaker):
    left = []

    @contextlib.asynccontextmanager
    @breaker
    async def session():
        try:
            yield "session"
        finally:
            left.append(True)

    async with session() as opened:
        assert opened == "session"
    with pytest.raises(ValueError, match="the body's") as caught:
        async with session():
            raise ValueError("the body's")
    assert caught.value.__cause__ is None
    assert left == [True, True]
    assert totals(breaker) == {"successes": 1, "cancelled": 1}


def test_a_guarded_generator_makes_a_context_manager(breaker):
    @contextlib.contextmanager
    @breaker
    def session():
        yield "session"

    with session() as opened:
        assert opened == "session"
    with pytest.raises(ValueError, match="the body's"), session():
        raise ValueError("the body's")
    assert totals(breaker) == {"successes": 1, "cancelled": 1}


async def test_a_context_manager_over_an_open_breaker_rejects_before_the_body(breaker):
    @contextlib.asynccontextmanager
    @breaker
    async def session():
        yield "session"

    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        async with session():
            pytest.fail("the body ran")


async def test_fastapi_dependencies_with_yield_may_be_guarded(breaker):
    app = fastapi.FastAPI()
    left = []

    @breaker
    async def session():
        try:
            yield "async session"
        finally:
            left.append("async")

    @breaker
    def plain_session():
        try:
            yield "plain session"
        finally:
            left.append("plain")

    @app.get("/")
    async def read(
        one: Annotated[str, fastapi.Depends(session)], two: Annotated[str, fastapi.Depends(plain_session)]
    ):
        return [one, two]

    @app.get("/missing")
    async def missing(one: Annotated[str, fastapi.Depends(session)]):
        raise fastapi.HTTPException(404)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        assert (await client.get("/")).json() == ["async session", "plain session"]
        assert (await client.get("/missing")).status_code == 404
    assert sorted(left) == ["async", "async", "plain"]
    assert breaker.get_stats()["totals"]["failures"] == 0
    assert breaker.state is State.CLOSED


async def test_streams_of_methods_know_their_instance(breaker):
    class Source:
        items = (1, 2)

        @breaker
        async def stream(self):
            for item in self.items:
                yield item

    assert [item async for item in Source().stream()] == [1, 2]


def test_plain_calls_from_many_threads_share_one_breaker(breaker):
    start = threading.Barrier(4)

    def work():
        start.wait()
        for _ in range(500):
            breaker.call_sync(int, "7")
            list(counting_plainly(breaker)(2))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals(breaker) == {"successes": 4000}


def test_a_breaker_made_at_import_serves_one_event_loop_after_another(breaker):
    async def use():
        async with breaker:
            await asyncio.sleep(0)
        return [item async for item in counting(breaker)(2)]

    for _ in range(3):
        assert asyncio.run(use()) == [0, 1]
    assert totals(breaker) == {"successes": 6}


def test_event_loops_in_several_threads_share_one_breaker(breaker):
    async def use():
        for _ in range(200):
            assert [item async for item in counting(breaker)(2)] == [0, 1]
            await breaker.call(asyncio.sleep, 0)

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals(breaker) == {"successes": 1200}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_way_in_works_under_anyio(breaker, clock, backend):
    @breaker
    async def answer():
        await anyio.lowlevel.checkpoint()
        return 42

    @breaker
    async def fail():
        await anyio.lowlevel.checkpoint()
        raise OSError("down")

    async def main():
        assert await answer() == 42
        assert await breaker.call(anyio.sleep, 0) is None
        async with breaker, anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            tasks.start_soon(hold_a_block)
        async with breaker.guard():
            await anyio.lowlevel.checkpoint()
        assert [item async for item in counting(breaker)(3)] == [0, 1, 2]
        with anyio.CancelScope() as scope:
            scope.cancel()
            await answer()
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                await fail()
        with pytest.raises(CircuitOpenError):
            await answer()
        clock.advance(30)
        assert await answer() == 42

    async def hold_a_block():
        async with breaker:
            await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)
    assert totals(breaker) == {"successes": 8, "failures": 2, "cancelled": 1}
    assert breaker.state is State.HALF_OPEN
