"""PostgreSQL by asyncpg."""

import asyncio
import contextlib
import re
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from resilience.connections._pooled_driver import GRACE, PooledDriver

# Classes of SQLSTATE: connection trouble, out of resources, operator intervention, system error.
_OUTAGES = ("08", "53", "57P", "58")
_ROLLED_BACK = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available
# asyncpg has no class of its own for these; a connection that breaks while it is lent leaves its pool at once
_LOST = re.compile(r"connection (is|was) closed|pool is clos|released back to the pool")


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


def server_settings(statement_timeout: float) -> dict[str, str]:
    """Return what the server is told when a connection opens; `statement_timeout` in seconds."""
    return {"statement_timeout": str(round(statement_timeout * 1e3))}


async def _close_when_open(opening: asyncio.Task[Any]) -> None:
    await asyncio.wait((opening,))
    if not opening.cancelled() and opening.exception() is None:
        opening.result().terminate()


def _give_up(connection: Any) -> None:
    """Close at once: a reset or a cancel request may hang as the statement did."""
    with contextlib.suppress(asyncpg.InterfaceError):  # it broke and has left its pool already
        connection.terminate()


class PostgresDriver(PooledDriver[Any]):
    """A pool of asyncpg."""

    def __init__(self, dsn: str, **settings: Any) -> None:
        super().__init__(dsn, **settings)
        self._opener = Opener()

    async def _make_pool(self, size: int) -> Any:
        return await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=size,
            connect=self._connect,
            command_timeout=self._statement_timeout + GRACE,
            timeout=self._connect_timeout,
            server_settings=server_settings(self._statement_timeout),
        )

    async def _connect(self, *arguments: Any, **settings: Any) -> Any:
        async def opening() -> Any:
            connection = await self._opener.open(*arguments, **settings)
            self._opened += 1
            return connection

        return await self._guarded_connect(opening)

    async def _close_pool(self, pool: Any) -> None:
        """Close a pool's connections in order, or by force when the server doesn't answer."""
        try:
            async with asyncio.timeout(GRACE):
                await pool.close()
        except TimeoutError:
            pool.terminate()
            await asyncio.sleep(0)  # the loop closes what was aborted

    async def _acquire(self, pool: Any, *, writes: bool) -> Any:
        del writes  # a transaction says so
        return await pool.acquire()

    async def _release(self, pool: Any, connection: Any) -> None:
        """Give a connection back; asyncpg loses its way when one breaks while it is being given back."""
        try:
            await pool.release(connection)
        except asyncpg.InternalClientError:
            _give_up(connection)

    async def _drop(self, connection: Any) -> None:
        _give_up(connection)

    def _transaction_of(self, connection: Any, *, writes: bool) -> Any:
        return connection.transaction(readonly=not writes)

    def _counts(self, pool: Any) -> tuple[int, int]:
        return pool.get_size(), pool.get_idle_size()

    def is_outage(self, error: BaseException) -> bool:
        """Whether the database is the trouble: no connection, no answer, no room, or shutting down."""
        return is_outage(error)

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the server undid the transaction because of others."""
        return is_rolled_back(error)

    async def close(self) -> None:
        """Close every connection, by force when the server doesn't answer."""
        await self._opener.close()
        await super().close()
