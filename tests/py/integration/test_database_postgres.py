"""The database pool against a real PostgreSQL that is restarted, killed, exhausted and frozen."""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack

import asyncpg
import pytest
import sqlalchemy

from resilience import BulkheadFullError, CircuitBreaker, ResilienceError, State
from resilience.connections import DatabasePool
from support.database_load import CALLS, pool_with_log, resize_under_load
from support.postgres_server import postgres_server  # noqa: F401 - a fixture
from support.storm import CancelStorm
from support.until import until

RECOVERY = 0.3
OUTAGES = (
    OSError,
    ResilienceError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlalchemy.exc.DBAPIError,
)


@contextlib.contextmanager
def raises(kind):
    """The driver's error, plain or as the cause of SQLAlchemy's."""
    with pytest.raises((kind, sqlalchemy.exc.DBAPIError)) as found:
        yield
    error = found.value
    assert isinstance(error.orig.__cause__ if isinstance(error, sqlalchemy.exc.DBAPIError) else error, kind)


def breaker(kind, **settings):
    return CircuitBreaker(f"test:{kind}", recovery_timeout=RECOVERY, **settings)


@pytest.fixture(params=["postgresql", "postgresql+asyncpg"])
async def pool(request, postgres_server):  # noqa: F811 - pytest's way
    async with pool_with_log(
        postgres_server, request.param, recovery=RECOVERY, statement_timeout=60
    ) as database:
        yield database


@pytest.fixture
async def impatient(pool):
    """Another pool of the same table, that gives a statement little time."""
    async with DatabasePool(
        pool._dsn, size=5, statement_timeout=1, connect_timeout=1, attempts=2
    ) as database:
        yield database


async def written(pool):
    return [row["id"] for row in await pool.read("select id from log order by id")]


async def recovered(pool, since):
    """Keep asking until a read and a write go through; returns the seconds since the server came back."""
    for operation in (lambda: pool.read("select 1"), lambda: pool.write("insert into log values (-1)")):
        while True:
            try:
                await operation()
            except OUTAGES:
                await asyncio.sleep(0)
            else:
                break
    return time.monotonic() - since


async def test_reads_and_writes_reach_the_database(pool):
    await pool.write("insert into log values ($1)", 1)
    async with pool.write() as connection:
        await connection.execute("insert into log values (2)")
    (row,) = await pool.write(lambda connection: connection.fetch("insert into log values (3) returning id"))
    assert row["id"] == 3
    async with pool.read() as connection:
        (row,) = await connection.fetch("select count(*) as number from log")
        assert row["number"] == 3
    assert await written(pool) == [1, 2, 3]
    stats = pool.stats()
    assert (stats["kind"], stats["in_use"]) == ("postgresql", 0)
    await pool.check()


async def test_a_failed_block_writes_nothing(pool):
    with pytest.raises(RuntimeError, match="changed my mind"):
        async with pool.write() as connection:
            await connection.execute("insert into log values (1)")
            raise RuntimeError("changed my mind")
    assert await written(pool) == []


async def test_reads_cannot_write(pool):
    with raises(asyncpg.ReadOnlySQLTransactionError):
        await pool.read("insert into log values (1) returning id")


async def test_a_mistake_in_a_statement_counts_for_no_breaker(pool):
    for _ in range(10):
        with raises(asyncpg.PostgresSyntaxError):
            await pool.read("selekt 1")
        with raises(asyncpg.UndefinedTableError):
            await pool.write("insert into nowhere values (1)")
        with raises(asyncpg.InterfaceError):
            await pool.read("select $1::int")
        with raises(asyncpg.DataError):
            await pool.read("select $1::int", "seven")
    assert pool.stats()["breakers"] == {"read": "closed", "write": "closed", "connect": "closed"}


async def test_a_statement_that_takes_too_long_is_stopped(impatient):
    with raises(asyncpg.QueryCanceledError):
        await impatient.read("select pg_sleep(600)")
    assert impatient.stats()["in_use"] == 0


async def test_terminated_backends_are_replaced_and_nothing_is_written_twice(pool):
    for number in range(20):
        if number % 5 == 0:
            await pool.read(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and "
                "backend_type = 'client backend'"
            )
        await pool.write("insert into log values ($1)", number)
    assert await written(pool) == list(range(20))


async def test_backends_terminated_at_any_moment_are_outages_and_nothing_else(pool, postgres_server):  # noqa: F811
    for breaker in (pool.read_breaker, pool.write_breaker, pool.connect_breaker):
        breaker.metrics_only()
    acknowledged = set()

    async def survived(operation):
        try:
            await operation
        except Exception as error:
            assert pool.is_unavailable(error)
            return False
        return True

    async def caller(first):
        for number in range(first, 80, 4):
            await survived(pool.read("select 1"))
            if await survived(pool.write("insert into log values ($1)", number)):
                acknowledged.add(number)

    async with AsyncExitStack() as stack:
        killer = await asyncpg.connect(postgres_server.dsn)
        stack.push_async_callback(killer.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        callers = [group.create_task(caller(first)) for first in range(4)]
        while not all(task.done() for task in callers):
            await killer.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                "and backend_type = 'client backend'"
            )
            seen = len(acknowledged)
            await until(lambda seen=seen: len(acknowledged) > seen or all(task.done() for task in callers))
    rows = await written(pool)
    assert len(rows) == len(set(rows))
    assert acknowledged <= set(rows)
    assert pool.stats()["in_use"] == 0


async def test_a_restart_is_survived_within_the_recovery_time(pool, postgres_server):  # noqa: F811
    postgres_server.stop()
    for _ in range(10):
        with pytest.raises(OUTAGES):
            await pool.read("select 1")
        with pytest.raises(OUTAGES):
            await pool.write("insert into log values (1)")
    postgres_server.start()
    assert await recovered(pool, time.monotonic()) >= 0
    assert await written(pool) == [-1]


async def test_a_full_pool_rejects_and_recovers(pool):
    release = asyncio.Event()
    held = asyncio.Semaphore(0)

    async def hold():
        async with pool.read() as connection:
            await connection.fetch("select 1")
            held.release()
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(5)]
    for _ in range(5):
        await held.acquire()
    pool._slots._max_wait = 0.001
    with pytest.raises(BulkheadFullError):
        await pool.read("select 1")
    assert pool.read_breaker.failure_count == 0
    release.set()
    await asyncio.gather(*holders)
    assert await pool.read("select 1")


async def test_resizing_under_load_loses_no_call(pool):
    await resize_under_load(pool)
    assert await written(pool) == list(range(CALLS))


async def test_a_frozen_server_blocks_nobody_for_long_and_nothing_is_written_twice(
    pool,
    impatient,
    postgres_server,  # noqa: F811
):
    for name in ("read_breaker", "write_breaker", "connect_breaker"):
        setattr(impatient, name, getattr(pool, name))  # they recover soon
    await impatient.write("insert into log values (1)")
    postgres_server.freeze()
    try:
        for number in (2, 3):
            with pytest.raises(OUTAGES):
                await impatient.write("insert into log values ($1)", number)
        with pytest.raises(OUTAGES):
            await impatient.read("select 1")
    finally:
        postgres_server.thaw()
    assert await recovered(impatient, time.monotonic()) >= 0
    numbers = [number for number in await written(pool) if number > 0]
    assert len(numbers) == len(set(numbers))
    assert 1 in numbers


async def test_an_open_write_breaker_stops_no_read(pool):
    pool.write_breaker.force_open()
    with pytest.raises(ResilienceError):
        await pool.write("insert into log values (1)")
    assert await pool.read("select 1")
    assert pool.read_breaker.state is State.CLOSED


async def test_cancelled_reads_lose_no_connection_and_get_no_other_answer(pool):
    async def request(number):
        rows = await pool.read("select $1::int as id, pg_sleep(0)", number)
        assert rows[0]["id"] == number

    storm = CancelStorm(request, seed=467, longest=80)
    await storm.run()
    assert min(storm.finished, storm.cancelled) > 0
    await until(lambda: pool.stats()["in_use"] == 0)
    rows = await asyncio.gather(*(pool.read("select $1::int as id", number) for number in range(5)))
    assert [row[0]["id"] for row in rows] == [0, 1, 2, 3, 4]
