"""Two classes that deal with time took no clock, and some arguments of what is remote were not checked."""

import pytest

from resilience import Cache, CircuitOpenError, RedisCache, TieredCache
from resilience.connections import ConnectionManager, UpstreamGuard
from resilience.providers import LLMRouter


def test_the_breaker_of_a_redis_cache_recovers_by_its_clock(clock):
    pytest.importorskip("redis", reason="redis-py isn't installed")
    remote = RedisCache("redis://127.0.0.1:1", prefix="test", clock=clock)
    remote.breaker.trip(10.0)
    with pytest.raises(CircuitOpenError):
        remote.breaker.call_sync(int)
    clock.advance(10.0)
    assert remote.breaker.call_sync(int) == 0


def test_the_breakers_of_a_manager_recover_by_its_clock(clock):
    manager = ConnectionManager(clock=clock)
    breaker = manager.guard.breaker("example.org")
    breaker.trip(10.0)
    clock.advance(10.0)
    assert breaker.call_sync(int) == 0


@pytest.mark.parametrize("make", [UpstreamGuard, ConnectionManager])
def test_what_is_no_clock_is_refused(make):
    with pytest.raises(TypeError, match="clock must be a Clock"):
        make(clock=1)


async def test_one_tag_alone_is_not_taken_for_its_letters_below_either():
    pytest.importorskip("redis", reason="redis-py isn't installed")
    remote = RedisCache("redis://127.0.0.1:1", prefix="test")
    tiered = TieredCache(Cache(), remote)
    with pytest.raises(TypeError, match="tags must be an iterable of tags"):
        await remote.set("a", 1, tags="page")
    with pytest.raises(TypeError, match="tags must be an iterable of tags"):
        await tiered.set("a", 1, tags="page")
    with pytest.raises(TypeError, match="tags must be an iterable of tags"):
        await tiered.get_or_load("a", int, tags="page")
    assert "a" not in tiered.local


@pytest.mark.parametrize("providers", [3, "openai", {"kind": "openai"}])
def test_what_are_no_providers_is_named(providers):
    with pytest.raises(TypeError, match="providers must be a list of Provider"):
        LLMRouter(providers)
