"""Around a partial or a callable object a wrapper no longer looked async, so that frameworks ran it in a thread."""

import functools
import inspect
import pickle

import pytest

from resilience import CircuitBreaker, Pipeline, bulkhead, cache


async def answer(value, *, other=2):
    return value


async def async_items(value):
    yield value


def items(value):
    yield value


class Answering:
    async def __call__(self, value):
        return value


class Streaming:
    async def __call__(self, value):
        yield value


POLICIES = [CircuitBreaker(), bulkhead(9), Pipeline()]


@pytest.mark.parametrize("decorate", [*POLICIES, cache])
@pytest.mark.parametrize(
    "function", [functools.partial(answer, other=3), functools.partial(Answering()), Answering()]
)
async def test_it_is_seen_to_be_async(decorate, function):
    wrapped = decorate(function)
    assert inspect.iscoroutinefunction(wrapped)
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert wrapped.__wrapped__ is function
    assert await wrapped(1) == 1


@pytest.mark.parametrize("policy", POLICIES)
async def test_streams_are_seen_to_be_streams(policy):
    for function in (functools.partial(async_items), Streaming()):
        wrapped = policy(function)
        assert inspect.isasyncgenfunction(wrapped)
        assert [item async for item in wrapped(1)] == [1]
    wrapped = policy(functools.partial(items))
    assert inspect.isgeneratorfunction(wrapped)
    assert list(wrapped(1)) == [1]


@pytest.mark.parametrize("decorate", [*POLICIES, cache])
def test_plain_ones_stay_plain(decorate):
    wrapped = decorate(functools.partial(pow, 2))
    assert not inspect.iscoroutinefunction(wrapped)
    assert wrapped(3) == 8
    assert wrapped.__wrapped__.func is pow


async def test_an_endpoint_of_a_partial_is_awaited():
    fastapi, httpx = pytest.importorskip("fastapi"), pytest.importorskip("httpx")
    app = fastapi.FastAPI()
    app.get("/partial")(CircuitBreaker()(functools.partial(answer, 1)))
    app.get("/object")(CircuitBreaker()(Answering()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/partial")).json() == 1
        assert (await client.get("/object?value=2")).json() == "2"


@CircuitBreaker()
async def by_name(value):
    return value


def test_functions_are_pickled_by_name_as_before():
    assert pickle.loads(pickle.dumps(by_name)) is by_name
