"""Some public callables told `inspect` no signature, or another's."""

import inspect

import pytest

from resilience import Cache, RequestBatcher, batched
from resilience.testing import ManualClock


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (Cache.set, "(self, key, value, ttl=None, tags=())"),
        (Cache().set, "(key, value, ttl=None, tags=())"),
        (Cache().touch, "(key, ttl=None)"),
        (Cache().invalidate, "(key)"),
        (Cache().invalidate_tags, "(*tags)"),
        (RequestBatcher().get_metrics, "()"),
        (ManualClock, "(start: float = 0.0)"),
    ],
)
def test_it_is_told(function, signature):
    assert str(inspect.signature(function)) == signature


def test_every_method_of_a_cache_takes_its_key_by_name():
    kept = Cache()
    assert kept.set(key="a", value=1, ttl=None, tags=["t"])
    assert kept.touch(key="a")
    assert kept.invalidate(key="a")
    assert not kept.invalidate(key="a")
    for wrong in ({}, {"name": "a"}, {"key": "a", "more": 1}):
        with pytest.raises(TypeError, match="key"):
            kept.invalidate(**wrong)


async def test_a_batched_function_takes_an_item_and_says_so():
    @batched(batch_size=2, batch_timeout_ms=0)
    async def double(items: list[int]) -> list[int]:
        return [2 * item for item in items]

    class Service:
        @batched(batch_timeout_ms=0)
        async def double(self, items: list[int]) -> list[int]:
            return [2 * item for item in items]

    assert list(inspect.signature(double).parameters) == ["item"]
    assert list(inspect.signature(Service.double).parameters) == ["self", "item"]
    assert list(inspect.signature(Service().double).parameters) == ["item"]
    assert double.__name__ == "double"
    assert await double(item=2) == 4
    assert await Service().double(item=3) == 6
