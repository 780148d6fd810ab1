"""Records that others forge: in Redis, in the allocator's history and in what breakers are told."""

import contextlib
import itertools
import json
import os
import pickle
import random
import struct
import sys
import zlib

import msgpack
import pytest
import redis

from resilience import Cache, CircuitBreaker, RedisCache, State, TieredCache, cache
from resilience._allocator import history_file
from resilience.allocator import PredictiveResourceAllocator
from resilience.testing import ManualClock
from support.example import example_server
from support.redis_server import redis_server

__all__ = ["redis_server"]

SIXTY_SECONDS = 60.0
FOR_EVER = [None, 10**15, 2**62]  # milliseconds that a forged entry says it lives


class Bomb:
    """Whoever unpickles it runs code."""

    def __reduce__(self):
        return exec, ("import sys; sys.was_unpickled = True",)


def pickles():
    values = [Bomb(), {"a": 1}, (1, 2), "text"]
    return [pickle.dumps(value, protocol) for value in values for protocol in range(6)]


def random_bytes(many):
    chance = random.Random(11)
    bodies = [chance.randbytes(chance.randrange(200)) for _ in range(many)]
    return bodies + [head + b"\xc1" + body for head in (b"RC1m", b"RC1j", b"RC2m") for body in bodies[:20]]


@pytest.fixture
async def remote(redis_server):
    level = RedisCache(redis_server.url, prefix="forged", timeout=5)
    yield level
    await level.aclose()


@pytest.mark.parametrize("forged", [pickles(), random_bytes(100)], ids=["pickles", "random bytes"])
async def test_pickles_and_random_bytes_are_ignored_counted_and_replaced(remote, forged):
    @cache(ttl=60, backend=remote)
    async def answer(x):
        return x

    client, assembled = remote.client(), []
    await answer(1)
    (entry,) = [key async for key in client.scan_iter("{forged}:v:*")]
    for payload in forged:
        await client.hset(entry, "v", payload)
        assembled.append(await answer(1))
        assert await client.hget(entry, "v") == remote.serializer.dumps(1)
    assert assembled == [1] * len(forged)
    assert remote.stats()["undecodable"] == len(forged)
    assert not hasattr(sys, "was_unpickled")


FORGERIES = {
    "a string": lambda client, key: client.set(key, b"x"),
    "a list": lambda client, key: client.rpush(key, b"x", b"y"),
    "a hash without a payload": lambda client, key: client.hset(key, mapping={"c": "0", "s": "me"}),
    "a tag that is no text": lambda client, key: client.hset(
        key, mapping={"v": b"RC1m\x01", "c": "0", b"t:\xff\xfe": "0"}
    ),
}


@pytest.mark.parametrize("kind", FORGERIES)
async def test_entries_of_another_shape_are_ignored_counted_and_replaced(remote, kind):
    @cache(ttl=60, backend=remote)
    async def answer(x):
        return x

    client = remote.client()
    await answer(1)
    (entry,) = [key async for key in client.scan_iter("{forged}:v:*")]
    await client.delete(entry)
    await FORGERIES[kind](client, entry)
    assert await answer(1) == 1
    assert remote.stats()["undecodable"] == 1
    assert await answer(1) == 1
    assert remote.stats()["hits"] == 1, "the function's own result stands there again"


async def test_a_generation_that_is_none_costs_redis_and_no_answer(remote):
    client = remote.client()
    await client.rpush("{forged}:c", b"a list where a number is expected")
    assert await remote.get("key", "nothing") == "nothing"
    assert await remote.set("key", 1) is False
    assert remote.stats()["errors"] >= 1


@pytest.mark.parametrize("milliseconds", FOR_EVER)
async def test_an_entry_that_would_live_for_ever_lives_as_long_as_its_function_says(remote, milliseconds):
    clock, numbers = ManualClock(), itertools.count()
    tiered = TieredCache(Cache(10, clock=clock), remote)

    @cache(ttl=SIXTY_SECONDS, backend=tiered)
    async def answer():
        return next(numbers)

    client = remote.client()
    await answer()
    (entry,) = [key async for key in client.scan_iter("{forged}:v:*")]
    await client.hset(entry, "v", remote.serializer.dumps("forged"))
    await client.persist(entry)
    if milliseconds is not None:
        await client.pexpire(entry, milliseconds)
    tiered.local.clear()
    assert await answer() == "forged", "it is well formed, and nobody can tell"
    assert 0 < await client.pttl(entry) <= SIXTY_SECONDS * 1000
    clock.advance(SIXTY_SECONDS)
    assert len(tiered.local) == 0
    await tiered.aclose()


@pytest.mark.parametrize("milliseconds", FOR_EVER)
async def test_no_time_to_live_is_too_long_for_the_local_level(remote, milliseconds):
    tiered = TieredCache(Cache(10), remote)
    await remote.set("key", 1)
    if milliseconds is not None:
        await remote.client().pexpire(remote.entry_key(remote.text("key")), milliseconds)
    assert await tiered.get("key") == 1
    assert await remote.set("key", 2, ttl=1e308), "nor is any that a caller gives"
    assert await remote.get("key") == 2
    await tiered.aclose()


@pytest.mark.parametrize("forged", [None, 7, "text", [], {"ok": "no"}, [1, 2]])
async def test_what_its_function_would_not_keep_is_refused_counted_and_replaced(remote, forged):
    @cache(ttl=60, backend=remote, condition=lambda value: value["ok"] is True)
    async def answer():
        return {"ok": True}

    client = remote.client()
    await answer()
    (entry,) = [key async for key in client.scan_iter("{forged}:v:*")]
    await client.hset(entry, "v", remote.serializer.dumps(forged))
    assert await answer() == {"ok": True}
    assert remote.stats()["refused"] == 1
    assert await answer() == {"ok": True}
    assert remote.stats()["refused"] == 1


async def test_messages_of_others_on_the_channel_harm_nothing(redis_server):
    remote = RedisCache(redis_server.url, prefix="forged", timeout=5, invalidation="pubsub")
    tiered = TieredCache(Cache(10), remote)
    await tiered.set("key", 1)
    client = remote.client()
    for payload in (b"", b"|", b"\xff" * 50, b"x|v", b"x|q:key", os.urandom(1000), *pickles()):
        await client.publish(remote.channel, payload)
    assert await tiered.get("key") == 1
    assert not hasattr(sys, "was_unpickled")
    await tiered.aclose()


def ignored(server):
    """How many records the server found in Redis that were none of its own."""
    lines = server.get("/metrics").body.decode().splitlines()
    family = [line for line in lines if line.startswith("resilience_redis_cache_operations_total{")]
    return sum(float(line.split()[-1]) for line in family if '"undecodable"' in line or '"refused"' in line)


def test_forged_entries_fail_no_request_of_the_example(redis_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    commands = [{"text": f"Explain paper {number}"} for number in range(4)]
    values = ([], "x", 7, ["research"], ["evil", 0.5], [["research", 0.5, 1]])
    forged = [b"\x80\x05.", b"RC1m", *(b"RC1m" + msgpack.packb(value) for value in values)]
    with example_server() as server, contextlib.closing(redis.Redis.from_url(redis_server.url)) as client:
        honest = [server.post("/api/nl/process", command).json() for command in commands]
        keys = client.keys("{unified-server}:v:*")
        assert len(keys) == len(forged)
        for key, payload in zip(keys, forged, strict=True):
            client.hset(key, "v", payload)
        for _ in range(1_000):  # until the process has heard that its own memory is out of date
            if ignored(server) == len(forged):
                break
            answers = [server.post("/api/nl/process", command) for command in commands]
            assert [answer.status for answer in answers] == [200] * len(commands)
            assert [answer.json() for answer in answers] == honest
        assert ignored(server) == len(forged)


# ---- what else is read back ----


def history(settings, *rows):
    """A file with a right checksum: it proves no author."""
    body = settings + b"".join(struct.pack("<6d", *row) for row in rows)
    head = history_file._LENGTHS.pack(len(settings), zlib.crc32(body))
    return history_file._MAGIC + head + body


MINUTES = json.dumps({"interval": 60.0}).encode()
NAN, INF = float("nan"), float("inf")
FORGED_HISTORIES = {
    "no json": history(b"\xff\xfe"),
    "a list": history(b"[]"),
    "null": history(b"null"),
    "no interval": history(b"{}"),
    "an interval of text": history(b'{"interval": "60"}'),
    "deep": history(b"[" * 100_000),
    "a time that is none": history(MINUTES, (NAN, 1, 1, 1, 1, 0.5)),
    "an endless time": history(MINUTES, (INF, 1, 1, 1, 1, 0.5)),
    "a time of 1e308": history(MINUTES, (1e308, 1, 1, 1, 1, 0.5)),
    "a time before 1970": history(MINUTES, (-1e308, 1, 1, 1, 1, 0.5)),
    "the year 10000": history(MINUTES, (253_402_300_800.0, 1, 1, 1, 1, 0.5)),
    "an endless load": history(MINUTES, (1e9, INF, 1, 1, 1, 0.5)),
    "a negative load": history(MINUTES, (1e9, -1, 1, 1, 1, 0.5)),
    "half a row": history(MINUTES) + b"x",
    "a pickle": pickle.dumps(Bomb()),
}


@pytest.mark.parametrize("kind", FORGED_HISTORIES)
async def test_a_forged_history_is_set_aside_and_stops_no_start(tmp_path, kind):
    path = tmp_path / "history"
    path.write_bytes(FORGED_HISTORIES[kind])
    allocator = PredictiveResourceAllocator(history_path=path, metrics_source=dict)
    await allocator.start_monitoring()
    status = allocator.get_predictions()["optimization_status"]
    await allocator.stop_monitoring()
    assert status == "active"
    assert [problem["kind"] for problem in allocator.get_predictions()["problems"]] == ["history_set_aside"]
    assert not hasattr(sys, "was_unpickled")


async def test_a_history_of_gigabytes_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "history"
    with path.open("wb") as file:
        file.write(history(MINUTES))
        file.truncate(10 * 1024**3)  # sparse: takes no room on the disk
    with pytest.raises(history_file.HistoryFileError, match="longer"):
        history_file.load(path, 60.0)


@pytest.mark.parametrize("seconds", [1e9, 1e308, INF])
def test_no_record_opens_a_breaker_for_ever(seconds):
    clock = ManualClock()
    breaker = CircuitBreaker(recovery_timeout=10, max_recovery_timeout=60, clock=clock)
    breaker.trip(seconds)
    clock.advance(60)
    assert breaker.call_sync(lambda: "a probe") == "a probe"


@pytest.mark.parametrize("seconds", [NAN, -1.0, 0.0])
def test_a_time_that_is_none_opens_nothing(seconds):
    breaker = CircuitBreaker()
    breaker.trip(seconds)
    with pytest.raises(ValueError, match="ttl"):
        breaker.force_open(ttl=seconds)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    "name", ["recovery_timeout", "max_recovery_timeout", "monitor_window", "probe_timeout"]
)
@pytest.mark.parametrize("seconds", [NAN, INF, -1, 1e308, 253_402_300_799])
def test_no_configured_time_is_endless(name, seconds):
    with pytest.raises(ValueError, match=name):
        CircuitBreaker(**{name: seconds})
