"""The database pool on SQLite, and what holds for every database."""

import asyncio
import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import aiosqlite
import pytest
import sqlalchemy

from resilience import CircuitOpenError
from resilience.connections import DatabasePool
from support.database_load import CALLS, resize_under_load
from support.storm import CancelStorm


@pytest.fixture(params=["sqlite:///{file}", "sqlite://:memory:", "sqlite+aiosqlite:///{file}"])
async def pool(request, tmp_path):
    dsn = request.param.format(file=tmp_path / "test.db")
    async with DatabasePool(dsn, size=4, pool_timeout=60) as database:
        await database.write("create table log (id integer)")
        yield database


async def written(pool):
    return [row["id"] for row in await pool.read("select id from log order by id")]


async def test_reads_and_writes_reach_the_file(pool):
    assert await pool.write("insert into log values (?)", 1) == 1
    async with pool.write() as connection:
        await connection.execute("insert into log values (?)", 2)
    assert await written(pool) == [1, 2]
    await pool.check()
    assert pool.stats()["kind"] == "sqlite"


async def test_a_file_removed_or_replaced_under_an_open_pool_fails_the_check(tmp_path):
    file, elsewhere = tmp_path / "test.db", tmp_path / "elsewhere.db"
    async with DatabasePool(f"sqlite:///{file}") as pool:
        await pool.check()
        file.rename(elsewhere)
        with pytest.raises(FileNotFoundError):
            await pool.check()
        file.touch()
        with pytest.raises(OSError, match="another file has taken the place"):
            await pool.check()
        elsewhere.replace(file)
        await pool.check()
    assert pool.read_breaker.state == "closed"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_an_open_pool_locks_nobody_out_while_its_cursors_live(scheme, tmp_path, monkeypatch):
    cursors = []
    to_execute = aiosqlite.Connection._execute

    async def execute_and_keep(self, *arguments, **settings):
        cursors.append(await to_execute(self, *arguments, **settings))
        return cursors[-1]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", execute_and_keep)
    file = tmp_path / "test.db"
    async with DatabasePool(f"{scheme}:///{file}") as pool:
        await pool.check()
        with contextlib.closing(sqlite3.connect(file, timeout=0)) as other:
            assert other.execute("select count(*) from sqlite_master").fetchone() == (0,)
            assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    assert any(isinstance(cursor, sqlite3.Cursor) for cursor in cursors)


async def test_parameters_are_written_as_for_postgresql(pool):
    await pool.write("insert into log values ($1 + $2)", 1, 2)
    async with pool.write() as connection:
        await connection.executemany("insert into log values ($1)", [(4,), (5,)])
    assert await written(pool) == [3, 4, 5]
    rows = await pool.read("""select '$1' as quoted, $1 as "$2" /* $3 */ -- it's $4""", 7)
    assert dict(rows[0]) == {"quoted": "$1", "$2": 7}


async def test_a_failed_block_writes_nothing(pool):
    with pytest.raises(RuntimeError, match="changed my mind"):
        async with pool.write() as connection:
            await connection.execute("insert into log values (1)")
            raise RuntimeError("changed my mind")
    assert await written(pool) == []


async def test_a_mistake_in_a_statement_counts_for_no_breaker(pool):
    for _ in range(10):
        with pytest.raises((sqlite3.OperationalError, sqlalchemy.exc.OperationalError)):
            await pool.write("insert into nowhere values (1)")
    assert pool.stats()["breakers"] == {"read": "closed", "write": "closed", "connect": "closed"}


async def test_writers_take_turns_and_none_is_lost(pool):
    await asyncio.gather(*(pool.write("insert into log values (?)", number) for number in range(30)))
    assert await written(pool) == list(range(30))


async def test_an_open_write_breaker_stops_no_read(pool):
    pool.write_breaker.force_open()
    with pytest.raises(CircuitOpenError):
        await pool.write("insert into log values (1)")
    assert await written(pool) == []


async def test_cancelled_calls_leave_no_transaction_open_and_cross_no_answers(pool):
    async def request(number):
        if number % 2:
            await pool.write("insert into log values (?)", number)
        else:
            rows = await pool.read("select ? as id", number)
            assert rows[0]["id"] == number

    await CancelStorm(request, seed=7).run()
    numbers = await written(pool)
    assert len(numbers) == len(set(numbers))
    await pool.write("insert into log values (-1)")
    assert pool.stats()["in_use"] == 0


async def test_resizing_under_load_loses_no_call(pool):
    await resize_under_load(pool)
    assert await written(pool) == list(range(CALLS))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (70_000, ValueError), (2.5, TypeError)])
async def test_a_resize_out_of_range_changes_nothing(pool, size, error):
    with pytest.raises(error, match="size"):
        await pool.resize(size)
    assert pool.stats()["size"] == 4


def test_the_breakers_have_the_documented_settings():
    pool = DatabasePool("sqlite://:memory:")
    read, write, connect = pool.read_breaker.config, pool.write_breaker.config, pool.connect_breaker.config
    assert (read.failure_threshold, read.recovery_timeout, read.success_threshold) == (8, 15, 3)
    assert (write.failure_threshold, write.recovery_timeout, write.success_threshold) == (3, 30, 2)
    assert (connect.failure_threshold, connect.recovery_timeout) == (5, 20)
    assert (read.failure_rate_threshold, write.failure_rate_threshold) == (0.6, 0.4)


@pytest.mark.parametrize(
    ("dsn", "settings", "error", "words"),
    [
        ("mysql://x", {}, ValueError, "dsn"),
        ("sqlite+aiosqlite:///:memory:", {}, ValueError, "file"),
        (5, {}, TypeError, "dsn"),
        ("sqlite://:memory:", {"size": 0}, ValueError, "size"),
        ("sqlite://:memory:", {"pool_timeout": 0}, ValueError, "pool_timeout"),
        ("sqlite://:memory:", {"statement_timeout": "1"}, TypeError, "statement_timeout"),
        ("sqlite://:memory:", {"attempts": 11}, ValueError, "attempts"),
    ],
)
def test_a_bad_argument_is_refused_by_name(dsn, settings, error, words):
    with pytest.raises(error, match=words):
        DatabasePool(dsn, **settings)


async def test_a_block_takes_no_query_and_an_awaited_read_needs_one():
    async with DatabasePool("sqlite://:memory:") as pool:
        with pytest.raises(TypeError, match="query"):
            await pool.read()
        with pytest.raises(TypeError, match="query"):
            async with pool.read("select 1"):
                pass


@pytest.mark.parametrize("dsn", ["sqlite:///{file}", "sqlite+aiosqlite:///{file}"])
def test_many_who_open_a_new_file_at_once_all_get_in(dsn, tmp_path):
    together = threading.Barrier(6, timeout=30)  # which only ends a test that failed

    async def opened(file):
        async with DatabasePool(dsn.format(file=file), statement_timeout=10, attempts=1) as pool:
            together.wait()
            await pool.check()
            await asyncio.to_thread(together.wait)  # the first keeps its lock while the last comes in

    def open_each():
        for number in range(10):
            asyncio.run(opened(tmp_path / f"{number}.db"))

    with ThreadPoolExecutor(6) as threads:
        for opening in [threads.submit(open_each) for _ in range(6)]:
            opening.result()
    modes = []
    for file in tmp_path.glob("*.db"):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            modes.append(connection.execute("pragma journal_mode").fetchone())
    assert modes == [("wal",)] * 10


@pytest.mark.parametrize("dsn", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
async def test_no_file_means_one_memory_for_all_connections(dsn):
    async with DatabasePool(dsn) as pool:
        async with pool.write() as connection:
            await connection.execute("CREATE TABLE kept (value)")
            await connection.execute("INSERT INTO kept VALUES (1)")
        async with pool.read() as connection:
            assert [row["value"] for row in await connection.fetch("SELECT value FROM kept")] == [1]


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_a_file_that_is_no_database_costs_no_thread_however_often_it_is_tried(scheme, tmp_path):
    (tmp_path / "test.db").write_bytes(b"no database" * 100)
    before = set(threading.enumerate())
    pool = DatabasePool(f"{scheme}:///{tmp_path / 'test.db'}")
    for _ in range(3):
        with pytest.raises((sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError), match="not a database"):
            await pool.check()
    await pool.close()
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 30)  # its last answer may still be on the way
    assert [thread for thread in set(threading.enumerate()) - before if "asyncio" not in thread.name] == []


async def test_a_pool_that_is_closed_while_it_opens_leaves_nothing_open(tmp_path, monkeypatch):
    pool = DatabasePool(f"sqlite:///{tmp_path / 'test.db'}")
    made = []
    make_driver = pool._make_driver

    def closed_at_this_moment():
        made.append(make_driver())
        closing.append(asyncio.ensure_future(pool.close()))
        return made[-1]

    closing = []
    monkeypatch.setattr(pool, "_make_driver", closed_at_this_moment)
    with pytest.raises(RuntimeError, match="closed"):
        await pool.check()
    await asyncio.gather(*closing)
    assert [driver.stats()["connections"] for driver in made] == [0]
    with pytest.raises(RuntimeError, match="closed"):
        await pool.check()
