"""An error whose own property failed was replaced by what the property raised, and not retried."""

import pytest

from resilience import CircuitBreaker, Pipeline, adaptive_limit, fallback, retry


class OpaqueError(Exception):
    def _fail(self):
        raise OSError("the property's own")

    retry_after = status_code = status = response = headers = property(_fail)


async def fail():
    raise OpaqueError


def fail_plainly():
    raise OpaqueError


def quick():
    return retry(on=OpaqueError, attempts=3, wait_initial=0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CircuitBreaker(failure_threshold=1),
        quick,
        adaptive_limit,
        lambda: fallback(0),
        lambda: Pipeline(retry=quick(), circuit_breaker=CircuitBreaker(), adaptive_limit=adaptive_limit()),
    ],
    ids=["breaker", "retry", "adaptive limit", "fallback", "pipeline"],
)
async def test_it_reaches_the_caller_as_it_is(make):
    with pytest.raises(OpaqueError):
        await make().call(fail)
    with pytest.raises(OpaqueError):
        make().call_sync(fail_plainly)


async def test_it_is_retried_and_counted_as_any_other():
    breaker = CircuitBreaker(failure_threshold=3)
    with pytest.raises(OpaqueError):
        await Pipeline(retry=quick(), circuit_breaker=breaker).call(fail)
    assert breaker.failure_count == 3
    assert breaker.state == "open"
