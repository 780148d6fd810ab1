"""Fallbacks: what they answer, and what they leave alone."""

import asyncio

import pytest

from resilience import CircuitBreaker, Pipeline, bulkhead, fallback, retry
from support.policies import Flaky, Gate
from support.until import settle


async def test_a_value_answers_the_librarys_own_errors():
    room = bulkhead(1)
    room._machine.try_acquire()
    assert await Pipeline(fallback=fallback("stale"), bulkhead=room).call(Flaky(0)) == "stale"
    assert Pipeline(fallback=fallback(None), bulkhead=room).call_sync(Flaky(0).sync) is None


async def test_other_errors_pass_unless_named():
    error = ConnectionError("down")
    with pytest.raises(ConnectionError) as caught:
        await fallback("stale").call(Flaky(1, error))
    assert caught.value is error
    assert await fallback("stale", on=ConnectionError).call(Flaky(1)) == "stale"
    assert await fallback("stale", on=lambda e: "down" in str(e)).call(Flaky(1)) == "stale"


async def test_functions_get_the_calls_arguments():
    async def stale(value, *, unit="K"):
        await asyncio.sleep(0)
        return f"{value} {unit}"

    @fallback(stale, on=ConnectionError)
    async def read(value, *, unit="K"):
        raise ConnectionError

    @fallback(lambda value: value * 2, on=ConnectionError)
    def read_sync(value):
        raise ConnectionError

    assert await read(3, unit="mK") == "3 mK"
    assert read_sync(4) == 8


async def test_it_never_answers_a_cancellation():
    task = asyncio.create_task(fallback("stale", on=BaseException).call(Gate()))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_answers_after_the_last_retry():
    flaky = Flaky(9)
    pipeline = Pipeline(
        fallback=fallback("stale", on=ConnectionError), retry=retry(on=ConnectionError, wait_initial=0)
    )
    assert await pipeline.call(flaky) == "stale"
    assert flaky.calls == 3


async def test_an_error_of_the_fallback_is_the_calls():
    async def broken(*_):
        raise KeyError("also down")

    with pytest.raises(KeyError, match="also down"):
        await fallback(broken, on=ConnectionError).call(Flaky(1))


def test_an_async_fallback_cant_answer_for_a_plain_function():
    async def stale():
        """Never awaited."""

    with pytest.raises(TypeError, match="async fallback"):
        fallback(stale, on=ConnectionError).call_sync(Flaky(1).sync)


async def test_a_breakers_own_fallback_answers_its_rejections_in_a_pipeline_too():
    breaker = CircuitBreaker(fallback=lambda value: f"cached {value}")
    breaker.force_open()
    flaky = Flaky(0)
    assert await Pipeline(circuit_breaker=breaker).call(flaky, 3) == "cached 3"
    assert Pipeline(circuit_breaker=breaker).call_sync(flaky.sync, 4) == "cached 4"
    assert flaky.calls == 0


def test_on_is_checked():
    with pytest.raises(TypeError, match="on must be"):
        fallback(1, on=3)
