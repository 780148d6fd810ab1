"""Half a character (a lone surrogate) in a name or reason made every page that lists breakers answer 500."""

import pytest

from resilience import (
    Cache,
    CircuitBreaker,
    CircuitBreakerConfig,
    KeyedCircuitBreaker,
    Pipeline,
    RateLimitedError,
    RequestBatcher,
    bulkhead,
    get_circuit_breaker,
    get_pipeline,
    rate_limit,
)
from resilience.observability import Family, breaker_families
from resilience.testing import ManualClock

HALF = "\ud800"


@pytest.mark.parametrize(
    "make",
    [
        CircuitBreaker,
        get_circuit_breaker,
        get_pipeline,
        lambda name: Cache(name=name),
        lambda name: RequestBatcher(name=name),
        lambda name: Pipeline(name=name),
        lambda name: bulkhead(1, name=name),
        lambda name: CircuitBreaker().force_open(name),
    ],
)
def test_a_name_that_cannot_be_encoded_is_refused(make):
    with pytest.raises(ValueError, match="must be text that UTF-8 can encode"):
        make(HALF)


def test_names_with_anything_else_in_them_are_shown_as_they_are():
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from resilience.observability._prometheus import render

    names = ["", "two\nlines", "\0", "é ✓", 'a "quoted" \\ one', "x" * 100_000]
    kept = [CircuitBreaker(name) for name in names]
    families: list[Family] = list(breaker_families())
    shown = {
        sample.labels.get("name")
        for family in text_string_to_metric_families(render(families).decode())
        for sample in family.samples
    }
    assert shown >= {breaker.name for breaker in kept}


async def test_keys_come_from_outside_and_may_be_anything():
    clock = ManualClock()

    async def ask(_key):
        return "answer"

    limit = rate_limit(1, key=lambda key: key, clock=clock)
    for key in (HALF, "\udfff", "'\\ud800'", (HALF,)):
        assert await limit.call(ask, key) == "answer"
        with pytest.raises(RateLimitedError):
            await limit.call(ask, key)
    breakers = KeyedCircuitBreaker(CircuitBreakerConfig(clock=clock))
    assert await breakers.for_key(HALF).call(ask, HALF) == "answer"
    assert breakers.for_key(HALF).success_count == 1
