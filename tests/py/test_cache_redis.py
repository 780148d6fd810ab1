"""The level in Redis, alone and below a local one, against a real server."""

import asyncio
import itertools

import msgpack
import pytest

from resilience import Cache, CircuitBreaker, RedisCache, TieredCache, cache
from support.redis_server import redis_server

__all__ = ["redis_server"]


@pytest.fixture
async def levels(redis_server):
    """Make caches that stand for one process each, and close them all."""
    made = []

    def make(**settings):
        settings = {"timeout": 5} | settings  # the default is short for a busy machine
        tiered = TieredCache(Cache(100), RedisCache(redis_server.url, prefix="test", **settings))
        made.append(tiered)
        return tiered

    yield make
    for tiered in made:
        await tiered.aclose()


async def eventually(condition):
    async with asyncio.timeout(30):
        while True:
            met = condition()
            if asyncio.iscoroutine(met):
                met = await met
            if met:
                return
            await asyncio.sleep(0)


def listening(*tiered):
    return all(one.stats()["remote"]["listening"] for one in tiered)


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
async def test_values_come_back_as_they_were(redis_server, serializer):
    remote = RedisCache(redis_server.url, prefix="values", timeout=5, serializer=serializer)
    values = [None, True, 1, -(2**40), 1.5, "text ü", [1, [2]], {"a": {"b": [None]}}]
    if serializer == "msgpack":
        values += [b"\x00\xff", (1, (2, "x")), {1: 2}]
    for value in values:
        assert await remote.set("key", value)
        found = await remote.get("key", "missing")
        assert found == value
        assert type(found) is type(value)
    assert not await remote.set("key", object()), "what can't be encoded is not stored"
    assert remote.stats()["unencodable"] == 1
    await remote.aclose()


async def test_keys_of_every_kind_are_kept_apart(redis_server):
    remote = RedisCache(redis_server.url, prefix="keys", timeout=5)
    keys = ["1", 1, True, 1.0, b"1", None, (1,), [1], "x" * 300, "new\nline"]
    for number, key in enumerate(keys):
        assert await remote.set(key, number)
    assert [await remote.get(key) for key in keys] == list(range(len(keys)))
    with pytest.raises(TypeError, match="can't be encoded"):
        await remote.get(object())
    await remote.aclose()


async def test_entries_expire_and_are_invalidated(redis_server):
    remote = RedisCache(redis_server.url, prefix="expiry", timeout=5)
    await remote.set("short", 1, ttl=0.001)
    await eventually(lambda: _is_missing(remote, "short"))
    await remote.set("a", 1, tags=("red",))
    await remote.set("b", 2, tags=("red", "round"))
    await remote.set("c", 3)
    assert await remote.invalidate("c")
    assert not await remote.invalidate("c")
    assert await remote.invalidate_tags("red")
    assert [await remote.get(key) for key in "abc"] == [None] * 3
    await remote.set("a", 4, tags=("red",))
    assert await remote.get("a") == 4
    assert await remote.clear()
    assert await remote.get("a") is None
    await remote.aclose()


async def _is_missing(remote, key):
    return await remote.get(key) is None


async def test_bytes_of_others_are_a_miss_and_counted(redis_server):
    remote = RedisCache(redis_server.url, prefix="foreign", timeout=5)
    client = remote.client()
    entry = remote.entry_key(remote.text("key"))
    rubbish = [
        b"",
        b"\x80\x04\x95pickle",
        b"RC1m",
        b"RC1m\xc1",
        b"RC1j{",
        b"RC1m" + b"\x91" * 5_000,
        b"\xff" * 100,
    ]
    rubbish += [b"RC1m" + msgpack.packb(msgpack.ExtType(9, b"x"))]
    for payload in rubbish:
        await remote.set("key", 1)
        await client.hset(entry, "v", payload)
        assert await remote.get("key", "missing") == "missing"
    assert remote.stats()["undecodable"] == len(rubbish)
    await client.delete(entry)
    await client.set(entry, b"a string, where a hash is expected")
    assert await remote.get("key", "missing") == "missing"
    assert await remote.set("key", 2)
    assert await remote.get("key") == 2
    assert remote.stats()["errors"] == 0
    await remote.aclose()


@pytest.mark.parametrize("invalidation", ["tracking", "pubsub"])
async def test_changes_reach_the_local_level_of_other_processes(levels, invalidation):
    one, two = levels(invalidation=invalidation), levels(invalidation=invalidation)
    await one.set("a", 1, tags=("red",))
    assert await two.get("a") == 1
    await eventually(lambda: listening(one, two))
    changes = [
        lambda: one.set("a", 2, tags=("red",)),
        lambda: one.invalidate("a"),
        lambda: one.invalidate_tags("red"),
        one.clear,
    ]
    for change in changes:
        await one.set("a", 1, tags=("red",))
        await eventually(lambda: _sees(two, 1))
        assert two.local.peek("a") == 1
        await change()
        await eventually(lambda: two.local.peek("a") != 1)
    assert two.local.peek("a") is None


async def _sees(tiered, value):
    return await tiered.get("a") == value


@pytest.mark.parametrize("invalidation", ["tracking", "pubsub"])
async def test_news_of_its_own_write_drops_nothing(levels, invalidation):
    one, two = levels(invalidation=invalidation), levels(invalidation=invalidation)
    await two.get("marker")
    for number in range(20):
        await one.set(number, number)
    await two.set("marker", 1)
    await eventually(lambda: one.get("marker"))  # what came before the marker has been heard by now
    await eventually(lambda: not one._checks)
    assert [one.local.peek(number) for number in range(20)] == list(range(20))


async def test_a_load_older_than_another_process_s_invalidation_stores_nothing(levels):
    one, two = levels(), levels()
    for invalidate in (lambda: two.invalidate("a"), two.clear, lambda: two.invalidate_tags("t")):
        gate = asyncio.Event()
        started = asyncio.Event()

        async def loader(gate=gate, started=started):
            started.set()
            await gate.wait()
            return "old"

        load = asyncio.create_task(one.get_or_load("a", loader, tags=("t",)))
        await started.wait()
        await invalidate()
        gate.set()
        assert await load == "old"
        assert await two.get("a") is None, "it did not reach Redis"
        await eventually(lambda: one.local.peek("a") is None)


async def test_an_invalidation_reaches_an_entry_that_only_a_local_level_has(levels):
    one, two = levels(), levels()
    await two.get("marker")
    await one.get("marker")
    await eventually(lambda: listening(one, two))
    one.remote.breaker.force_open()
    assert await one.get_or_load("a", lambda: "only here") == "only here"
    assert one.local.peek("a") == "only here"
    one.remote.breaker.reset()
    assert not await two.invalidate("a"), "Redis has no such entry"
    await eventually(lambda: one.local.peek("a") is None)


async def test_loads_fill_both_levels_and_one_load_serves_all(levels):
    one, two = levels(), levels()
    count = itertools.count(1)

    def make(tiered):
        @cache(ttl=60, backend=tiered)
        async def f(x, y=(1, "z")):
            await asyncio.sleep(0)
            return {"x": x, "n": next(count)}

        return f

    f, g = make(one), make(two)
    results = await asyncio.gather(*(f(1) for _ in range(20)))
    assert results == [{"x": 1, "n": 1}] * 20
    assert await g(x=1) == {"x": 1, "n": 1}, "the other process finds it in Redis"
    assert g.stats()["loads"] == 0
    assert await f.invalidate(1)
    assert await f(1) == {"x": 1, "n": 2}
    assert await f.refresh(1) == {"x": 1, "n": 3}, "a new one, although Redis has one"
    with pytest.raises(TypeError, match="argument 'x'"):
        await f(object())
    assert f.cache is one


async def test_a_function_may_keep_its_results_in_redis_alone(redis_server):
    remote = RedisCache(redis_server.url, prefix="alone", timeout=5)
    calls = []

    @cache(ttl=60, backend=remote)
    async def f(x):
        calls.append(x)
        return x

    assert [await f(1), await f(1)] == [1, 1]
    assert calls == [1]
    assert await f.invalidate(1)
    await f(1)
    assert calls == [1, 1]
    with pytest.raises(ValueError, match="TieredCache"):
        cache(stale_if_error=1, backend=remote)(f.__wrapped__)
    with pytest.raises(TypeError, match="coroutine"):
        cache(backend=remote)(lambda: 1)
    await remote.aclose()


async def test_a_flushed_server_empties_the_local_level(levels):
    tiered = levels()
    await tiered.set("a", 1)
    await eventually(lambda: listening(tiered))
    await tiered.remote.client().flushall()
    await eventually(lambda: tiered.local.peek("a") is None)
    assert await tiered.get("a") is None


async def test_cancelled_operations_leave_no_answer_for_others(redis_server):
    remote = RedisCache(redis_server.url, prefix="cancel", timeout=5)
    for number in range(50):
        await remote.set(number, number)
    for round_ in range(20):
        tasks = [asyncio.create_task(remote.get(number)) for number in range(50)]
        for _ in range(round_ % 7):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(results):
            assert isinstance(result, asyncio.CancelledError) or result in {number, None}
    assert [await remote.get(number) for number in range(50)] == list(range(50))
    await remote.aclose()


@pytest.mark.parametrize(
    ("settings", "error", "names"),
    [
        ({"url": "http://localhost"}, ValueError, "url"),
        ({"url": "secret@localhost"}, ValueError, "^(?!.*secret).*url"),
        ({"url": "redis://:secret/2@localhost"}, ValueError, "^(?!.*secret).*url"),
        ({"url": "redis://[::1"}, ValueError, "url"),
        ({"url": "redis://localhost?socket_timeout=soon"}, ValueError, "url"),
        ({"url": "redis://localhost?no_such_option=1"}, ValueError, "url"),
        ({"url": None}, TypeError, "url"),
        ({"prefix": ""}, ValueError, "prefix"),
        ({"prefix": "{x}"}, ValueError, "prefix"),
        ({"prefix": 1}, TypeError, "prefix"),
        ({"serializer": "pickle"}, ValueError, "serializer"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": float("nan")}, ValueError, "timeout"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"breaker": 1}, TypeError, "breaker"),
        ({"invalidation": "polling"}, ValueError, "invalidation"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, error, names):
    with pytest.raises(error, match=names):
        RedisCache(**{"url": "redis://localhost", "prefix": "x"} | settings)


def test_nothing_shows_the_password_and_wrong_levels_are_refused():
    remote = RedisCache("redis://user:secret@localhost", prefix="x", breaker=CircuitBreaker("own"))
    assert "secret" not in repr(remote)
    assert remote.breaker.name == "own"
    with pytest.raises(TypeError, match="local"):
        TieredCache(remote, remote)
    with pytest.raises(TypeError, match="remote"):
        TieredCache(Cache(1), Cache(1))
