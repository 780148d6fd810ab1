"""Calls that succeed and fail, and how to open a breaker with them."""

import pytest

from resilience import (
    State,
)


class UpstreamError(Exception):
    """What the callee raises."""


async def succeed():
    return "answer"


async def fail():
    raise UpstreamError


async def open_it(breaker):
    while breaker.state is not State.OPEN:
        with pytest.raises(UpstreamError):
            await breaker.call(fail)
