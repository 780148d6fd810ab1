"""What the drivers of asyncpg and SQLAlchemy share: who gets a connection, and what becomes of it afterwards."""

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from resilience.connections._contained import contained
from resilience.connections._database_drivers import Phase
from resilience.connections._generations import Generations
from resilience.connections._slots import Slots

PoolT = TypeVar("PoolT")
T = TypeVar("T")

Connect = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

GRACE = 1.0  # seconds by which we wait longer than the server is told to work


class PooledDriver(ABC, Generic[PoolT]):
    """A library's pool whose connections are dropped, not repaired, after anything but a clean end.

    Args:
        dsn: where the database is, as the library takes it.
        size: connections at most.
        slots: who may have one.
        statement_timeout: seconds for one statement; with SQLite, for another's lock.
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
        self._pools: Generations[PoolT] | None = None
        self._opened = 0

    # ---- what a library does in its own way ----

    @abstractmethod
    async def _make_pool(self, size: int) -> PoolT:
        """Make a pool; its connections open when they are needed."""

    @abstractmethod
    async def _close_pool(self, pool: PoolT) -> None:
        """Close a pool and its connections."""

    @abstractmethod
    async def _acquire(self, pool: PoolT, *, writes: bool) -> Any:
        """Take a connection from a pool."""

    @abstractmethod
    async def _release(self, pool: PoolT, connection: Any) -> None:
        """Give a connection back, or up if it has been dropped."""

    @abstractmethod
    async def _drop(self, connection: Any) -> None:
        """Close a connection at once: a farewell may hang as the statement did."""

    @abstractmethod
    def _transaction_of(self, connection: Any, *, writes: bool) -> Any:
        """Return a transaction that has not begun, with `start`, `commit` and `rollback`."""

    @abstractmethod
    def _counts(self, pool: PoolT) -> tuple[int, int]:
        """Count a pool's connections, and those of them that are idle."""

    @abstractmethod
    def is_outage(self, error: BaseException) -> bool:
        """Whether the database is the trouble, and not the statement."""

    @abstractmethod
    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the database undid the transaction because of others."""

    def _lent_as(self, connection: Any) -> Any:
        """Return what a user sees of a connection."""
        return connection

    async def _step(self, work: Coroutine[Any, Any, T]) -> T:
        """Take one step of a transaction."""
        return await work

    # ---- what is the same for all ----

    async def open(self) -> None:
        """Make the pool; connections open when they are needed."""
        self._pools = Generations(await self._make_pool(self._size), self._close_pool)

    async def check(self) -> None:
        """Leave it to the connections, which end with their server."""

    async def resize(self, size: int) -> None:
        """Lend from a pool of that size from now on; the connections of the old one close as they come back."""
        if self._pools is not None:
            self._pools.replace(await self._make_pool(size))

    @contextlib.asynccontextmanager
    async def _lent(self, *, writes: bool) -> AsyncIterator[Any]:
        assert self._pools is not None  # noqa: S101 - opened before use
        await self._slots.acquire("database")
        used = self._pools.enter()
        release = functools.partial(self._release, used.resource)
        try:
            connection = await contained(self._acquire(used.resource, writes=writes), undo=release)
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or self.is_outage(error):
                    await self._drop(connection)
                raise
            finally:
                await contained(release(connection))
        finally:
            self._pools.leave(used)
            self._slots.release("database")

    @contextlib.asynccontextmanager
    async def _in_transaction(self, phase: Phase, *, writes: bool) -> AsyncIterator[Any]:
        async with self._lent(writes=writes) as connection:
            transaction = self._transaction_of(connection, writes=writes)
            await self._step(transaction.start())
            try:
                yield self._lent_as(connection)
            except Exception as error:
                if not self.is_outage(error):
                    await self._step(transaction.rollback())
                raise
            phase.committing = True
            await self._step(transaction.commit())

    def reading(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """Lend a connection whose statements can't write."""
        return self._in_transaction(Phase(), writes=False)

    def writing(self, phase: Phase) -> contextlib.AbstractAsyncContextManager[Any]:
        """Lend a connection inside a transaction that commits at the end."""
        return self._in_transaction(phase, writes=True)

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""
        size, idle = self._counts(self._pools.current) if self._pools is not None else (0, 0)
        return self._slots.stats() | {"opened": self._opened, "connections": size, "idle": idle}

    async def close(self) -> None:
        """Close every connection."""
        if self._pools is not None:
            await self._pools.close()
