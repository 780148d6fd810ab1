"""An async predicate was always true and never run, an async listener never heard, and nobody was told."""

import functools

import pytest

from resilience import (
    Cache,
    CircuitBreaker,
    Pipeline,
    RequestBatcher,
    cache,
    fallback,
    rate_limit,
    retry,
)


async def judge(*_):
    return False


async def stream():
    yield 1


class Judge:
    async def __call__(self, *_):
        return False


def _cached(**given):
    return cache(**given)(lambda: None)


@pytest.mark.parametrize("function", [judge, functools.partial(judge), Judge(), Judge().__call__, stream])
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (CircuitBreaker, "failure_on"),
        (CircuitBreaker, "failure_result"),
        (lambda **given: CircuitBreaker().add_listener(*given.values()), "listener"),
        (lambda **given: retry(on=ValueError).add_listener(*given.values()), "listener"),
        (retry, "on"),
        (functools.partial(fallback, 0), "on"),
        (functools.partial(rate_limit, 1), "key"),
        (Cache, "on_evict"),
        (Cache, "weigher"),
        (_cached, "key"),
        (_cached, "condition"),
        (RequestBatcher, "weigher"),
    ],
)
def test_it_is_refused_where_it_would_not_be_awaited(make, argument, function):
    with pytest.raises(TypeError, match=f"{argument} must be a plain function"):
        make(**{argument: function})


@pytest.mark.parametrize("answer", [judge, stream])
@pytest.mark.parametrize(
    "make",
    [
        fallback,
        lambda answer: CircuitBreaker(fallback=answer),
        lambda answer: Pipeline(fallback=fallback(answer)),
        lambda answer: Pipeline(circuit_breaker=CircuitBreaker(fallback=answer)),
    ],
)
def test_an_async_fallback_is_refused_when_a_plain_function_is_decorated(make, answer):
    def items():
        yield 1

    for function in (lambda: 1, items):
        with pytest.raises(TypeError, match="an async fallback can't answer for a plain function"):
            make(answer)(function)
    assert callable(make(answer)(judge))
    assert callable(make(lambda: 0)(lambda: 1))
