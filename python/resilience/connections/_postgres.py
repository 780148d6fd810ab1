"""PostgreSQL by asyncpg."""

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from resilience.connections._contained import contained
from resilience.connections._database_drivers import Phase
from resilience.connections._generations import Generations
from resilience.connections._slots import Slots

Connect = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

# Classes of SQLSTATE: connection trouble, out of resources, operator intervention, system error.
_OUTAGES = ("08", "53", "57P", "58")
_ROLLED_BACK = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available
# asyncpg has no class of its own for these; a connection that breaks while it is lent leaves its pool at once
_LOST = re.compile(r"connection (is|was) closed|pool is clos|released back to the pool")
GRACE = 1.0  # seconds by which we wait longer than the server is told to work


def is_outage(error: BaseException) -> bool:
    """Whether the database is the trouble: no connection, no answer, no room, or shutting down."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_OUTAGES)
    if isinstance(error, asyncpg.InterfaceError):  # most of these are mistakes in a call
        return _LOST.search(str(error)) is not None
    return isinstance(error, (OSError, TimeoutError, asyncpg.InternalClientError))


def is_rolled_back(error: BaseException) -> bool:
    """Whether the server undid the transaction because of others."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _ROLLED_BACK


class Opener:
    """Opens connections in tasks of their own: cancelled while it connects, asyncpg leaves a failed future behind.

    A cancelled caller leaves at once; the connection that comes in spite of it is closed.
    """

    def __init__(self) -> None:
        self._abandoned: set[asyncio.Task[None]] = set()

    async def open(self, *arguments: Any, **settings: Any) -> Any:
        """Connect, as asyncpg does."""
        opening = asyncio.create_task(asyncpg.connect(*arguments, **settings))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            task = asyncio.create_task(_close_when_open(opening))
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
            raise

    async def close(self) -> None:
        """Wait for what was abandoned, at most as long as connecting may take."""
        if self._abandoned:
            await asyncio.wait(self._abandoned)


async def _close_when_open(opening: asyncio.Task[Any]) -> None:
    await asyncio.wait((opening,))
    if not opening.cancelled() and opening.exception() is None:
        opening.result().terminate()


async def _acquire(pool: Any) -> Any:
    return await pool.acquire()


async def _release(pool: Any, connection: Any) -> None:
    """Give a connection back; asyncpg loses its way when one breaks while it is being given back."""
    try:
        await pool.release(connection)
    except asyncpg.InternalClientError:
        _give_up(connection)


def _give_up(connection: Any) -> None:
    """Close at once: a reset or a cancel request may hang as the statement did."""
    with contextlib.suppress(asyncpg.InterfaceError):  # it broke and has left its pool already
        connection.terminate()


async def _close_pool(pool: Any) -> None:
    """Close a pool's connections in order, or by force when the server doesn't answer."""
    try:
        async with asyncio.timeout(GRACE):
            await pool.close()
    except TimeoutError:
        pool.terminate()
        await asyncio.sleep(0)  # the loop closes what was aborted


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
        self._opener = Opener()
        self._pools: Generations[Any] | None = None
        self._opened = 0

    async def open(self) -> None:
        """Make the pool; connections open when they are needed."""
        self._pools = Generations(await self._make_pool(self._size), _close_pool)

    async def _make_pool(self, size: int) -> Any:
        return await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=size,
            connect=self._connect,
            command_timeout=self._statement_timeout + GRACE,
            timeout=self._connect_timeout,
            server_settings={"statement_timeout": str(round(self._statement_timeout * 1e3))},
        )

    async def resize(self, size: int) -> None:
        """Lend from a pool of that size from now on; the connections of the old one close as they come back."""
        if self._pools is not None:
            self._pools.replace(await self._make_pool(size))

    async def _connect(self, *arguments: Any, **settings: Any) -> Any:
        async def opening() -> Any:
            connection = await self._opener.open(*arguments, **settings)
            self._opened += 1
            return connection

        return await self._guarded_connect(opening)

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[Any]:
        assert self._pools is not None  # noqa: S101 - opened before use
        await self._slots.acquire("database")
        used = self._pools.enter()
        pool = used.resource
        try:
            connection = await contained(_acquire(pool), undo=functools.partial(_release, pool))
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or self.is_outage(error):
                    _give_up(connection)
                raise
            finally:
                await contained(_release(pool, connection))
        finally:
            self._pools.leave(used)
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
        return is_outage(error)

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the server undid the transaction because of others."""
        return is_rolled_back(error)

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""
        pool = self._pools.current if self._pools is not None else None
        size, idle = (pool.get_size(), pool.get_idle_size()) if pool is not None else (0, 0)
        return self._slots.stats() | {"opened": self._opened, "connections": size, "idle": idle}

    async def close(self) -> None:
        """Close every connection, by force when the server doesn't answer."""
        await self._opener.close()
        if self._pools is not None:
            await self._pools.close()
