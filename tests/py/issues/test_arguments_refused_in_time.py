"""Some bad arguments were taken silently, refused late, or refused in words that did not name them."""

import pytest

from resilience import (
    Cache,
    CircuitBreakerConfig,
    PredictiveResourceAllocator,
    RequestBatcher,
    RetryBudget,
    Timeouts,
    batched,
    cache,
    deadline,
    rate_limit,
    retry,
)


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        (Cache, "max_entries", 10**30),
        (Cache, "max_bytes", 10**30),
        (Cache, "name", 1),
        (Cache, "clock", 1),
        (cache, "name", 1),
        (cache, "ignore", "db"),
        (cache, "ignore", 1),
        (cache, "tags", 1),
        (cache, "cache_none", "no"),
        (cache, "keep_running", 1),
        (RequestBatcher, "adaptive", "yes"),
        (RequestBatcher, "dedupe", None),
        (RequestBatcher, "name", 1),
        (batched, "batch_size", 0),
        (batched, "batch_size", len),
        (batched, "on_poison", "halve"),
        (PredictiveResourceAllocator, "limits", 1),
        (PredictiveResourceAllocator, "initial", ["workers"]),
        (PredictiveResourceAllocator, "history_path", 1),
    ],
)
def test_a_bad_argument_is_named_at_construction(make, argument, value):
    with pytest.raises((TypeError, ValueError), match=argument):
        make(**{argument: value})


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: CircuitBreakerConfig.from_mapping(5), "settings"),
        (lambda: RetryBudget(clock=5), "clock"),
        (lambda: Timeouts.get(5), "name"),
        (lambda: Timeouts.load({5: 1.0}), "name"),
        (lambda: deadline(1.0, clock=5), "clock"),
        (lambda: PredictiveResourceAllocator(clock=5), "clock"),
        (lambda: PredictiveResourceAllocator(forecaster=5), "forecaster"),
        (lambda: rate_limit(1).reconfigure("1"), "rate"),
        (lambda: retry(on=ValueError, honor_retry_after="no"), "honor_retry_after"),
    ],
)
def test_what_is_of_the_wrong_type_is_named_at_once(call, argument):
    with pytest.raises(TypeError, match=f"{argument} must be"):
        call()


def test_lookups_take_the_key_by_name():
    kept = Cache()
    kept.set(key="a", value=1)
    assert kept.get(key="a") == 1
    assert kept.get(key="b", default=2) == 2
    assert kept.get("b", default=3) == 3
    assert kept.get(default=4, key="a") == 1
    assert kept.peek(key="a") == 1
    for wrong in ({"default": 1}, {"key": "a", "other": 1}, {"key": "a", "default": 1, "other": 1}):
        with pytest.raises(TypeError):
            kept.get(**wrong)
    with pytest.raises(TypeError):
        kept.get("a", key="a")


def test_an_invalidation_takes_the_key_alone():
    kept = Cache()
    kept["a"] = 1
    for args, named in [((), {}), (("a", "b"), {}), (("a",), {"key": "a"}), ((), {"default": "a"})]:
        with pytest.raises(TypeError, match="one argument, key"):
            kept.invalidate(*args, **named)
    assert kept["a"] == 1
    assert kept.invalidate(key="a")


def test_cache_goes_above_a_classmethod_too():
    class Service:
        @cache
        @classmethod
        def load(cls, key):
            return object()

        @cache
        @staticmethod
        def read(key):
            return object()

    assert Service.load(1) is Service().load(1)
    assert Service.read(1) is Service().read(1)


async def test_what_is_wrong_with_a_request_is_named():
    async with RequestBatcher() as batcher:
        for settings in ({"priority": "high"}, {"priority": 1.5}, {"timeout": "1s"}):
            with pytest.raises(TypeError, match=next(iter(settings))):
                batcher.add_request(1, 1, **settings)
        assert batcher.get_metrics()["pending_requests"] == 0


@pytest.mark.parametrize("tags", ["page", b"page"])
def test_one_tag_alone_is_not_taken_for_its_letters(tags):
    kept = Cache()
    with pytest.raises(TypeError, match="tags must be an iterable of tags"):
        kept.set("a", 1, tags=tags)
    with pytest.raises(TypeError, match="tags must be an iterable of tags"):
        kept.set_many({"a": 1}, tags=tags)
    assert len(kept) == 0


@pytest.mark.parametrize("value", [-1, 3_600_001, float("nan")])
def test_a_batch_timeout_is_told_in_the_units_in_which_it_was_given(value):
    with pytest.raises(ValueError, match=rf"batch_timeout_ms must be .* \[0, 3600000\], got {value}$"):
        RequestBatcher(batch_timeout_ms=value)
