"""PostgreSQL by asyncpg."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from resilience.connections._contained import contained
from resilience.connections._database_drivers import Phase
from resilience.connections._slots import Slots

Connect = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

# Classes of SQLSTATE: connection trouble, out of resources, operator intervention, system error.
_OUTAGES = ("08", "53", "57P", "58")
_ROLLED_BACK = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available
_CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.InterfaceError)
_GRACE = 1.0  # seconds by which we wait longer than the server is told to work


class PostgresDriver:
    """A pool of asyncpg whose connections are dropped, not repaired, after anything but a clean end.

    Args:
        dsn: where the database is.
        size: connections at most.
        slots: who may have one.
        statement_timeout: seconds for one statement.
        connect_timeout: seconds for opening a connection.
        connect: what guards the opening of a connection.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        slots: Slots,
        statement_timeout: float,
        connect_timeout: float,
        connect: Connect,
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._slots = slots
        self._statement_timeout = statement_timeout
        self._connect_timeout = connect_timeout
        self._guarded_connect = connect
        self._pool: Any = None
        self._opened = 0

    async def open(self) -> None:
        """Make the pool; connections open when they are needed."""
        self._pool = asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._size,
            connect=self._connect,
            command_timeout=self._statement_timeout + _GRACE,
            timeout=self._connect_timeout,
            server_settings={"statement_timeout": str(round(self._statement_timeout * 1e3))},
        )
        await self._pool

    async def _connect(self, *arguments: Any, **settings: Any) -> Any:
        async def opening() -> Any:
            connection = await asyncpg.connect(*arguments, **settings)
            self._opened += 1
            return connection

        return await self._guarded_connect(opening)

    async def _acquire(self) -> Any:
        return await self._pool.acquire()

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[Any]:
        await self._slots.acquire("database")
        try:
            connection = await contained(self._acquire(), undo=self._pool.release)
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or self.is_outage(error):
                    connection.terminate()  # at once: a reset or a cancel request may hang as the statement did
                raise
            finally:
                await contained(self._pool.release(connection))
        finally:
            self._slots.release("database")

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        """Lend a connection whose statements can't write."""
        async with self._lent() as connection, connection.transaction(readonly=True):
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self, phase: Phase) -> AsyncIterator[Any]:
        """Lend a connection inside a transaction that commits at the end."""
        async with self._lent() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except Exception as error:
                if not self.is_outage(error):
                    await transaction.rollback()
                raise
            phase.committing = True
            await transaction.commit()

    def is_outage(self, error: BaseException) -> bool:
        """Whether the database is the trouble: no connection, no answer, no room, or shutting down."""
        if isinstance(error, asyncpg.PostgresError):
            return str(error.sqlstate or "").startswith(_OUTAGES)
        return isinstance(error, _CONNECTION_ERRORS)

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the server undid the transaction because of others."""
        return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _ROLLED_BACK

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""
        size = self._pool.get_size() if self._pool is not None else 0
        idle = self._pool.get_idle_size() if self._pool is not None else 0
        return self._slots.stats() | {"opened": self._opened, "connections": size, "idle": idle}

    async def close(self) -> None:
        """Close every connection, by force when the server doesn't answer."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(_GRACE):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
            await asyncio.sleep(0)  # the loop closes what was aborted
