"""A pipeline of a breaker whose subclass forgot its constructor crashed the interpreter at the first call."""

import pytest

from resilience import CircuitBreaker, Pipeline


class Forgetful(CircuitBreaker):
    def __init__(self):
        pass


@pytest.mark.parametrize("make", [Forgetful, lambda: CircuitBreaker.__new__(CircuitBreaker)])
def test_a_pipeline_refuses_a_breaker_that_was_not_initialised(make):
    pipeline = Pipeline()
    for put_in in (Pipeline, pipeline.replace):
        with pytest.raises(ValueError, match=r"call super\(\).__init__\(\) first"):
            put_in(circuit_breaker=make())
    assert pipeline.call_sync(int, "7") == 7
