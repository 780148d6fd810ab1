"""Redis and PostgreSQL pools over a network that delays, resets, refuses, half-closes and swallows connections."""

import asyncio
import contextlib

import asyncpg
import pytest
import redis.exceptions
import sqlalchemy

from resilience import ResilienceError
from resilience.connections import ConnectionConfig, ConnectionManager, DatabasePool
from support.fault_proxy import fault_proxy
from support.postgres_server import postgres_server  # noqa: F401 - a fixture
from support.redis_server import redis_server  # noqa: F401 - a fixture
from support.until import until

REDIS_TROUBLE = (redis.exceptions.RedisError, OSError)
DATABASE_TROUBLE = (
    OSError,
    ResilienceError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlalchemy.exc.DBAPIError,
)


@pytest.fixture
async def redis_proxy(redis_server):  # noqa: F811 - pytest's way
    async with fault_proxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def pools_behind(proxy, patience=30):
    config = ConnectionConfig(redis_pool_size=4, redis_timeout=patience, redis_pool_timeout=60)
    async with ConnectionManager(config, redis_url=f"redis://127.0.0.1:{proxy.port}/0") as manager:
        yield manager


@pytest.fixture
async def pools(redis_proxy):
    async with pools_behind(redis_proxy) as manager:
        await manager.warm(connections=2)
        yield manager


TEXTS = [str(number).encode() for number in range(12)]


async def answers_when_settled(pools):
    """Ask until every answer comes; who has a broken connection may learn of it, but gets no other's answer."""
    async with asyncio.timeout(120):
        while True:
            answers = await asyncio.gather(
                *(pools.redis.echo(text) for text in TEXTS), return_exceptions=True
            )
            for answer, text in zip(answers, TEXTS, strict=True):
                assert answer == text or isinstance(answer, REDIS_TROUBLE)
            assert pools.stats()["redis"]["in_use"] == 0
            if answers == TEXTS:
                return answers


async def test_redis_answers_are_right_over_a_slow_network(pools, redis_proxy):
    redis_proxy.latency = 0.002
    assert await answers_when_settled(pools) == TEXTS


@pytest.mark.parametrize("fault", ["reset", "half_close"])
async def test_redis_connections_that_were_broken_off_are_not_used_again(pools, redis_proxy, fault):
    getattr(redis_proxy, fault)()
    assert await answers_when_settled(pools) == TEXTS


async def test_a_redis_that_swallows_everything_costs_the_timeout_and_no_place(redis_proxy):
    async with pools_behind(redis_proxy, patience=0.3) as pools:
        redis_proxy.black_hole = True
        with pytest.raises(REDIS_TROUBLE):
            await pools.redis.echo("lost")
        assert pools.stats()["redis"]["in_use"] == 0
        redis_proxy.black_hole = False
        redis_proxy.reset()
        assert await answers_when_settled(pools) == TEXTS


async def test_a_redis_that_refuses_costs_no_place(pools, redis_proxy):
    redis_proxy.refuse = True
    redis_proxy.reset()
    for _ in range(3):
        with pytest.raises(REDIS_TROUBLE):
            await pools.redis.ping()
    redis_proxy.refuse = False
    assert await answers_when_settled(pools) == TEXTS


@pytest.fixture
async def postgres_proxy(postgres_server):  # noqa: F811 - pytest's way
    async with fault_proxy("127.0.0.1", postgres_server.port) as proxy:
        yield proxy


@pytest.fixture(params=["postgresql", "postgresql+asyncpg"])
async def database(request, postgres_proxy):
    dsn = f"{request.param}://tester@127.0.0.1:{postgres_proxy.port}/postgres"
    patience = {"pool_timeout": 60, "statement_timeout": 30, "connect_timeout": 30}
    async with DatabasePool(dsn, size=4, **patience) as pool:
        for breaker in (pool.read_breaker, pool.write_breaker, pool.connect_breaker):
            breaker.metrics_only()  # the network's faults are looked at, not what breakers make of them
        await pool.write("drop table if exists log")
        await pool.write("create table log (id int)")
        yield pool


async def rows_of(database):
    return sorted(row["id"] for row in await database.read("select id from log"))


async def test_database_answers_are_right_over_a_slow_network(database, postgres_proxy):
    postgres_proxy.latency = 0.002
    await asyncio.gather(*(database.write("insert into log values ($1)", number) for number in range(8)))
    assert await rows_of(database) == list(range(8))


@pytest.mark.parametrize("fault", ["reset", "half_close"])
async def test_database_connections_that_were_broken_off_are_replaced(database, postgres_proxy, fault):
    for number in range(5):
        getattr(postgres_proxy, fault)()
        await database.write("insert into log values ($1)", number)
    assert await rows_of(database) == list(range(5))
    assert database.stats()["in_use"] == 0


async def test_writes_over_a_network_that_resets_at_any_moment_happen_at_most_once(database, postgres_proxy):
    postgres_proxy.latency = 0.0005
    acknowledged, running = set(), True

    async def breaking():
        seen = 0
        while running:
            await until(lambda seen=seen: not running or len(acknowledged) >= seen + 3)
            seen = len(acknowledged)
            postgres_proxy.reset()

    async def writing(first):
        for number in range(first, 40, 4):
            try:
                await database.write("insert into log values ($1)", number)
            except DATABASE_TROUBLE:
                continue
            acknowledged.add(number)

    breaker = asyncio.create_task(breaking())
    await asyncio.gather(*(writing(first) for first in range(4)))
    running = False
    await breaker
    rows = await rows_of(database)
    assert len(rows) == len(set(rows))
    assert acknowledged <= set(rows)


async def test_a_database_that_swallows_everything_costs_a_timeout_and_no_place(database, postgres_proxy):
    await database.write("insert into log values (1)")
    async with DatabasePool(database._dsn, size=4, statement_timeout=1, connect_timeout=30) as impatient:
        await impatient.check()
        postgres_proxy.black_hole = True
        with pytest.raises(DATABASE_TROUBLE):
            async with impatient.write() as connection:
                await connection.execute("insert into log values (2)")
        assert impatient.stats()["in_use"] == 0
        postgres_proxy.black_hole = False
    postgres_proxy.reset()
    assert await rows_of(database) == [1]
