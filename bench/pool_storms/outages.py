"""A PostgreSQL that is restarted, robbed of its backends, exhausted and frozen: when reads and writes are back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any

import asyncpg

from pool_storms.kinds import PostgresServer, _binaries
from resilience import ResilienceError
from resilience.connections import DatabasePool
from support.database_load import pool_with_log

RECOVERY = 2.0
SIZE = 5
Outage = Callable[["Load", PostgresServer], Awaitable[None]]


class Load:
    """Readers and writers that never stop asking; each number is handed to `write` once."""

    def __init__(self, pool: DatabasePool) -> None:
        self.pool = pool
        self.next = 0
        self.acknowledged: set[int] = set()
        self.last_read = self.last_write = 0.0
        self.unexpected = 0

    async def read(self) -> None:
        """Read once."""
        try:
            await self.pool.read("select 1")
        except Exception as error:  # noqa: BLE001 - looked at
            await self._failed(error)
        else:
            self.last_read = perf_counter()

    async def write(self) -> None:
        """Write the next number."""
        self.next += 1
        number = self.next
        try:
            await self.pool.write("insert into log values ($1)", number)
        except Exception as error:  # noqa: BLE001 - looked at
            await self._failed(error)
        else:
            self.acknowledged.add(number)
            self.last_write = perf_counter()

    async def _failed(self, error: Exception) -> None:
        self.unexpected += not self.pool.is_unavailable(error)
        await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep two readers and two writers asking."""

        async def repeat(ask: Callable[[], Awaitable[None]]) -> None:
            while True:
                await ask()

        tasks = [asyncio.create_task(repeat(ask)) for ask in (self.read, self.read, self.write, self.write)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def back(self, since: float) -> tuple[float, float]:
        """Seconds from `since` until the first read and the first write that succeeded."""
        read = write = None
        async with asyncio.timeout(60):
            while read is None or write is None:
                await asyncio.sleep(0.005)
                if read is None and self.last_read > since:
                    read = self.last_read - since
                if write is None and self.last_write > since:
                    write = self.last_write - since
        return read, write


async def restart(load: Load, server: PostgresServer) -> None:
    await asyncio.to_thread(server.stop)
    await until_open(load)
    await asyncio.to_thread(server.start)


async def terminate(_load: Load, server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.dsn)
    for _ in range(5):
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and backend_type = 'client backend'"
        )
        await asyncio.sleep(0.05)
    await connection.close()


async def exhaust(load: Load, _server: PostgresServer) -> None:
    async def hold() -> None:
        async with load.pool.read() as connection:
            await connection.fetch("select pg_sleep(1)")

    await asyncio.gather(*(hold() for _ in range(SIZE * 2)), return_exceptions=True)


async def freeze(load: Load, server: PostgresServer) -> None:
    server.freeze()
    try:
        await until_open(load)
    finally:
        server.thaw()


async def until_open(load: Load) -> None:
    """Stay away until every kind of call is refused at once."""
    pool = load.pool
    async with asyncio.timeout(60):
        while "open" not in (pool.read_breaker.state, pool.connect_breaker.state):  # noqa: ASYNC110 - two of them
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)


OUTAGES: dict[str, Outage] = {
    "restarted": restart,
    "backends terminated": terminate,
    "pool exhausted": exhaust,
    "frozen": freeze,
}


def a_pool(server: PostgresServer, scheme: str) -> contextlib.AbstractAsyncContextManager[DatabasePool]:
    return pool_with_log(server, scheme, recovery=RECOVERY, statement_timeout=1.5)


async def outage(name: str, server: PostgresServer, scheme: str) -> dict[str, float]:
    """Bring it about under load, and tell when reads and writes were back and what became of the writes."""
    async with a_pool(server, scheme) as pool:
        load = Load(pool)
        async with load.running():
            await load.back(perf_counter())
            await OUTAGES[name](load, server)
            read, write = await load.back(perf_counter())
        rows = [row["id"] for row in await pool.read("select id from log")]
    return {
        "reads back s": read,
        "writes back s": write,
        "allowed s": RECOVERY + 1,
        "acknowledged": len(load.acknowledged),
        "written twice": len(rows) - len(set(rows)),
        "lost": len(load.acknowledged - set(rows)),
        "unexpected": load.unexpected,
    }


async def writes_refused(server: PostgresServer, scheme: str) -> dict[str, float]:
    """Count the reads that fail while the write breaker is open."""
    async with a_pool(server, scheme) as pool:
        pool.write_breaker.trip(60)
        refused = 0
        reads: list[Any] = []
        for _ in range(500):
            try:
                await pool.write("insert into log values (1)")
            except ResilienceError:
                refused += 1
            reads += await pool.read("select 1")
    return {"writes refused": refused, "reads answered": len(reads)}


def a_server() -> PostgresServer:
    return PostgresServer(_binaries())
