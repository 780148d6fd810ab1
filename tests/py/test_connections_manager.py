"""The manager: settings, warming, resizing, figures, closing."""

import asyncio
import sys

import pytest

from resilience import BulkheadFullError
from resilience.connections import ConnectionConfig, ConnectionManager, _optional, by_route
from support.http_clients import CLIENTS, Client
from support.http_server import http_server
from support.until import until

libraries = pytest.mark.parametrize("library", CLIENTS)


@pytest.fixture
async def server():
    async with http_server() as running:
        yield running


def test_the_defaults_are_the_documented_ones():
    config = ConnectionConfig()
    assert (ConnectionConfig.HTTP_POOL_SIZE, config.http_pool_size) == (100, 100)
    assert (ConnectionConfig.HTTP_KEEPALIVE_TIMEOUT, config.http_keepalive_timeout) == (30, 30)
    assert (ConnectionConfig.HTTP_CONNECTION_TIMEOUT, config.http_connection_timeout) == (5, 5)
    assert (ConnectionConfig.REDIS_POOL_SIZE, config.redis_pool_size) == (50, 50)
    assert ConnectionConfig.ENABLE_CONNECTION_REUSE is config.enable_connection_reuse is True


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("http_pool_size", 0, ValueError),
        ("http_pool_size", 1.5, TypeError),
        ("http_per_host", 0, ValueError),
        ("redis_pool_size", 70_000, ValueError),
        ("http_keepalive_timeout", -1, ValueError),
        ("http_connection_timeout", float("nan"), ValueError),
        ("redis_timeout", "1", TypeError),
        ("enable_connection_reuse", 1, TypeError),
        ("max_waiting", -1, ValueError),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting, value, error):
    with pytest.raises(error, match=setting):
        ConnectionConfig(**{setting: value})


def test_a_mapping_makes_a_configuration_and_unknown_keys_are_refused():
    assert ConnectionConfig.from_mapping({"http_pool_size": 7}).http_pool_size == 7
    with pytest.raises(ValueError, match="pool_sise"):
        ConnectionConfig.from_mapping({"pool_sise": 7})


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"http_client": "requests"}, ValueError, "http_client"),
        ({"config": {}}, TypeError, "config"),
        ({"redis_url": 5}, TypeError, "redis_url"),
        ({"key": "host"}, TypeError, "key"),
        ({"breaker": {}}, TypeError, "breaker"),
    ],
)
def test_a_bad_argument_is_refused_by_name(settings, error, words):
    with pytest.raises(error, match=words):
        ConnectionManager(**settings)


@pytest.mark.parametrize(("patterns", "error"), [((), ValueError), (("v1",), ValueError), ((5,), TypeError)])
def test_routes_need_patterns_of_paths(patterns, error):
    with pytest.raises(error, match="pattern"):
        by_route(*patterns)


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"resilience-native\[http\]"):
        _optional.require("httpx2", "http")


def test_making_a_manager_needs_no_event_loop():
    stats = ConnectionManager(redis_url="redis://127.0.0.1:1").stats()
    assert stats["http"]["size"] == 100
    assert stats["redis"]["size"] == 50
    assert stats["http"]["reuse_rate"] is None


async def test_without_a_redis_url_there_is_no_redis():
    with pytest.raises(RuntimeError, match="redis_url"):
        ConnectionManager().redis  # noqa: B018


@libraries
async def test_warming_opens_connections_that_requests_then_use(library, server):
    async with Client(library) as client:
        await client.manager.warm(f"{server.url}/", connections=8)
        assert server.connections == client.manager.stats()["http"]["opened"] == 8
        await asyncio.gather(*(client.get(f"{server.url}/echo/x") for _ in range(8)))
        assert server.connections == 8


@libraries
async def test_the_pool_bounds_what_is_under_way(library, server):
    async with Client(library, ConnectionConfig(http_pool_size=3)) as client:
        tasks = [asyncio.create_task(client.get(f"{server.url}/held")) for _ in range(10)]
        for _ in range(3):
            await server.arrived.acquire()
        await until(lambda: client.manager.stats()["http"]["waiting"] == 7)
        server.release.set()
        await asyncio.gather(*tasks)
        assert server.most_at_once == 3
        assert client.in_use == 0


@libraries
async def test_a_pool_that_stays_full_rejects_after_its_timeout(library, server):
    config = ConnectionConfig(http_pool_size=1, http_pool_timeout=0.001)
    async with Client(library, config) as client:
        holder = asyncio.create_task(client.get(f"{server.url}/held"))
        await server.arrived.acquire()
        with pytest.raises(BulkheadFullError):
            await client.get(f"{server.url}/echo/x")
        assert client.breaker.failure_count == 0
        server.release.set()
        await holder


@libraries
async def test_one_host_cannot_take_the_places_of_others(library, server):
    async with http_server() as other, Client(library, ConnectionConfig(http_per_host=2)) as client:
        held = [asyncio.create_task(client.get(f"{server.url}/held")) for _ in range(5)]
        await until(lambda: client.manager.stats()["http"]["waiting"] == 3)
        assert await client.get(f"{other.url}/echo/free") == (200, b"free")
        server.release.set()
        await asyncio.gather(*held)
        assert server.most_at_once == 2


@libraries
async def test_resizing_under_load_loses_no_request(library, server):
    async with Client(library, ConnectionConfig(http_pool_size=10)) as client:

        async def caller(number):
            for turn in range(6):
                text = f"{number}-{turn}"
                answer = await client.get(f"{server.url}/echo/{text}?ticks=5")
                assert answer == (200, text.encode())

        async def resizer():
            for size in (2, 30, 1, 8, 20):
                seen = server.requests
                await client.manager.resize(http_pool_size=size)
                await until(lambda seen=seen: server.requests > seen + 10)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(caller(number))
            group.create_task(resizer())
        stats = client.manager.stats()["http"]
        assert server.requests == 120
        assert (stats["size"], stats["in_use"], stats["waiting"], stats["refused"]) == (20, 0, 0, 0)
        assert client.breaker.success_count == 120


@libraries
async def test_a_resize_out_of_range_changes_nothing(library):
    async with Client(library) as client:
        before = client.manager.config
        with pytest.raises(ValueError, match="http_pool_size"):
            await client.manager.resize(http_pool_size=0, redis_pool_size=7)
        assert client.manager.config == before


@libraries
async def test_a_closed_manager_gives_no_client(library):
    client = Client(library)
    assert client.manager.http is client.manager.http
    await client.manager.close()
    await client.manager.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.manager.http  # noqa: B018


@libraries
async def test_what_pooling_saves_is_measured_with_tls_and_without(library):
    async with Client(library) as client:
        found = await client.manager.measure_improvement(rounds=3)
        assert [each.scheme for each in found] == ["http", "https"]
        assert all(each.pooled > 0 and each.unpooled > 0 for each in found)
        report = client.manager.stats()["improvement"]["https"]
        assert report["improvement"].endswith("%")
        assert report["upstream_latency_ms"] == 0


@libraries
def test_what_pooling_saves_is_measured_on_uvloop_too(library):
    uvloop = pytest.importorskip("uvloop")

    async def measured():
        async with ConnectionManager(http_client=library) as manager:
            return await manager.measure_improvement(rounds=2)

    assert [each.scheme for each in uvloop.run(measured())] == ["http", "https"]
