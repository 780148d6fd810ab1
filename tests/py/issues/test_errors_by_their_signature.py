"""Errors took other arguments than documented, and copies of an error could read differently from it."""

import asyncio
import copy
import pickle

import pytest

from resilience import RequestBatcher, cache
from resilience.errors import (
    BatcherClosedError,
    BatchQueueFullError,
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    RateLimitedError,
    RetryBudgetExhaustedError,
)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (CircuitOpenError("llm", 1.5), 1.5),
        (CircuitOpenError(name="llm", retry_after=1.5), 1.5),
        (RateLimitedError(2.5), 2.5),
        (RateLimitedError(retry_after=2.5), 2.5),
        (RateLimitedError(), None),
        (BulkheadFullError(), None),
        (BulkheadFullError("pool"), None),
        (RetryBudgetExhaustedError(), None),
        (BatchQueueFullError(), None),
        (BatcherClosedError(), None),
    ],
)
def test_a_rejection_is_made_as_documented_and_copies(error, retry_after):
    assert error.retry_after == retry_after
    for again in (error, copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.retry_after) == (type(error), str(error), retry_after)


def test_a_timeout_needs_no_arguments():
    assert CallTimeoutError().timeout is None
    assert isinstance(CallTimeoutError(), TimeoutError)


def test_what_is_no_number_of_seconds_can_still_be_shown():
    assert "rate limit" in str(RateLimitedError("soon"))


class WordedError(Exception):
    """Puts its argument into words, as many clients' errors do."""

    def __init__(self, code):
        super().__init__(f"answered {code}")
        self.code = code


async def test_callers_of_one_load_all_read_the_same_message():
    @cache
    async def fail(key):
        await asyncio.sleep(0)
        raise WordedError(500)

    errors = await asyncio.gather(*(fail(1) for _ in range(3)), return_exceptions=True)
    assert [(str(error), error.code) for error in errors] == [("answered 500", 500)] * 3
    assert len(set(map(id, errors))) == 3


async def test_callers_of_one_batch_all_read_the_same_message():
    async def fail(items):
        raise WordedError(500)

    async with RequestBatcher(3, 1000, fail) as batcher:
        errors = await asyncio.gather(*(batcher.add_request(i, i) for i in range(3)), return_exceptions=True)
    assert [(str(error), error.code) for error in errors] == [("answered 500", 500)] * 3
    assert len(set(map(id, errors))) == 3
