"""Redis and PostgreSQL pools behind toxiproxy: latency, resets, limited data, silence."""

import asyncio

import asyncpg
import pytest
import redis.exceptions

from resilience import ResilienceError
from resilience.connections import ConnectionConfig, ConnectionManager, DatabasePool
from support.postgres_server import postgres_server  # noqa: F401 - a fixture
from support.redis_server import redis_server  # noqa: F401 - a fixture
from support.toxiproxy import toxiproxy  # noqa: F401 - a fixture

TROUBLE = (
    OSError,
    ResilienceError,
    redis.exceptions.RedisError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
TOXICS = [
    ("latency", {"latency": 2, "jitter": 2}),
    ("slicer", {"average_size": 5, "size_variation": 2, "delay": 10}),
    ("reset_peer", {"timeout": 0}),
    ("limit_data", {"bytes": 20}),
    ("timeout", {"timeout": 0}),
]
poisoned = pytest.mark.parametrize(("toxic", "attributes"), TOXICS, ids=[name for name, _ in TOXICS])


async def outcomes(calls):
    """What came of calls made at once: answers, and errors of the network."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, TROUBLE) for each in found if isinstance(each, BaseException))
    return found


@poisoned
async def test_redis_callers_get_their_own_answer_or_an_error(toxiproxy, redis_server, toxic, attributes):  # noqa: F811
    port = toxiproxy.between(f"redis-{toxic}", redis_server.port)
    config = ConnectionConfig(redis_pool_size=4, redis_timeout=1.5, redis_pool_timeout=60)
    async with ConnectionManager(config, redis_url=f"redis://127.0.0.1:{port}/0") as pools:
        toxiproxy.add(f"redis-{toxic}", toxic, **attributes)
        texts = [f"text-{number:03}".encode() for number in range(16)]
        for answer, text in zip(
            await outcomes([pools.redis.echo(text) for text in texts]), texts, strict=True
        ):
            assert answer == text or isinstance(answer, TROUBLE)
        toxiproxy.clear()
        await outcomes([pools.redis.ping() for _ in range(4)])  # broken connections are noticed
        assert await asyncio.gather(*(pools.redis.echo(text) for text in texts)) == texts
        assert pools.stats()["redis"]["in_use"] == 0


@poisoned
async def test_rows_are_written_at_most_once_and_what_was_acknowledged_is_there(
    toxiproxy,  # noqa: F811
    postgres_server,  # noqa: F811
    toxic,
    attributes,
):
    port = toxiproxy.between(f"postgres-{toxic}", postgres_server.port)
    dsn = f"postgresql://tester@127.0.0.1:{port}/postgres"
    limits = {"pool_timeout": 60, "statement_timeout": 1.5, "connect_timeout": 1.5, "attempts": 2}
    async with DatabasePool(postgres_server.dsn) as plain, DatabasePool(dsn, size=4, **limits) as pool:
        for breaker in (pool.read_breaker, pool.write_breaker, pool.connect_breaker):
            breaker.metrics_only()
        await plain.write("drop table if exists log")
        await plain.write("create table log (id int)")
        await pool.check()
        toxiproxy.add(f"postgres-{toxic}", toxic, **attributes)
        found = await outcomes([pool.write("insert into log values ($1)", number) for number in range(8)])
        acknowledged = {number for number, each in enumerate(found) if not isinstance(each, BaseException)}
        toxiproxy.clear()
        rows = [row["id"] for row in await pool.read("select id from log")]
        assert len(rows) == len(set(rows))
        assert acknowledged <= set(rows)
        assert pool.stats()["in_use"] == 0
