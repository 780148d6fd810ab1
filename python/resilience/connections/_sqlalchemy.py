"""PostgreSQL or SQLite by SQLAlchemy's asynchronous engine, for services that speak SQLAlchemy anyway."""

import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from resilience.connections._contained import contained
from resilience.connections._database_drivers import Phase
from resilience.connections._generations import Generations
from resilience.connections._postgres import Connect, Opener
from resilience.connections._slots import Slots
from resilience.connections._sqlite import bound

T = TypeVar("T")

_opened_here: ContextVar[list[Any]] = ContextVar("resilience_connections_opened")

_GRACE = 1.0  # seconds by which we wait longer than the server is told to work
_WRITES = "resilience_writes"  # the execution option that tells a connection what its transaction is for


class SqlAlchemyConnection:
    """The few methods that all kinds of connections share; `inner` is SQLAlchemy's own, for everything else."""

    def __init__(self, inner: AsyncConnection, *, is_sqlite: bool) -> None:
        self.inner = inner
        self._is_sqlite = is_sqlite

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Run a query and return its rows."""
        result = await self._run(query, [arguments])
        return list(result.mappings())

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement and return how many rows it changed."""
        result = await self._run(query, [arguments])
        return result.rowcount

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        await self._run(query, [tuple(row) for row in rows], many=True)

    async def _run(
        self, query: str, rows: list[tuple[Any, ...]], *, many: bool = False
    ) -> sqlalchemy.CursorResult[Any]:
        text, arranged = bound(query, rows) if self._is_sqlite else (query, rows)
        parameters: Any = arranged if many else arranged[0]
        return await _unbroken(self.inner.exec_driver_sql(text, parameters), is_sqlite=self._is_sqlite)


class SqlAlchemyDriver:
    """An engine whose connections are dropped, not repaired, after anything but a clean end.

    Args:
        url: as SQLAlchemy takes it: ``postgresql+asyncpg://...`` or ``sqlite+aiosqlite:///path``.
        size: connections at most.
        slots: who may have one.
        statement_timeout: seconds for one statement; with SQLite, for another's lock.
        connect_timeout: seconds for opening a connection.
        connect: what guards the opening of a connection.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int,
        slots: Slots,
        statement_timeout: float,
        connect_timeout: float,
        connect: Connect,
    ) -> None:
        self._url = url
        self._size = size
        self._slots = slots
        self._statement_timeout = statement_timeout
        self._connect_timeout = connect_timeout
        self._guarded_connect = connect
        self._opener = Opener()
        self._is_sqlite = url.startswith("sqlite")
        self._errors = _errors_of(self._is_sqlite)
        self._opened = 0
        self._engines: Generations[AsyncEngine] | None = None

    async def open(self) -> None:
        """Make the engine; connections open when they are needed."""
        self._engines = Generations(self._make_engine(self._size), _dispose)

    def _make_engine(self, size: int) -> AsyncEngine:
        engine = create_async_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            poolclass=AsyncAdaptedQueuePool,
            async_creator=self._connect,
        )
        if self._is_sqlite:
            sqlalchemy.event.listen(engine.sync_engine, "begin", _begin)
        return engine

    async def _connect(self) -> Any:
        return await self._guarded_connect(self._open_sqlite if self._is_sqlite else self._open_postgres)

    async def _open_postgres(self) -> Any:
        connection = await self._opener.open(
            self._url.replace("+asyncpg", "", 1),
            command_timeout=self._statement_timeout + _GRACE,
            timeout=self._connect_timeout,
            server_settings={"statement_timeout": str(round(self._statement_timeout * 1e3))},
        )
        return self._note_opened(connection)

    async def _open_sqlite(self) -> Any:
        return await contained(self._open_file())  # aiosqlite forgets a file whose opening is interrupted

    async def _open_file(self) -> Any:
        import aiosqlite

        path = sqlalchemy.make_url(self._url).database
        connection = await aiosqlite.connect(str(path), timeout=self._statement_timeout, isolation_level=None)
        self._note_opened(connection)
        await connection.execute("PRAGMA journal_mode=WAL")
        return connection

    def _note_opened(self, connection: Any) -> Any:
        self._opened += 1
        _opened_here.get().append(connection)
        return connection

    @contextlib.asynccontextmanager
    async def _lent(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        assert self._engines is not None  # noqa: S101 - opened before use
        await self._slots.acquire("database")
        used = self._engines.enter()
        try:
            connection = await contained(self._take(used.resource, writes=writes), undo=_close)
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or self.is_outage(error):
                    await contained(_drop(connection))
                raise
            finally:
                await contained(connection.close())
        finally:
            self._engines.leave(used)
            self._slots.release("database")

    async def _take(self, engine: AsyncEngine, *, writes: bool) -> AsyncConnection:
        opened: list[Any] = []
        _opened_here.set(opened)  # `contained` runs this in a task of its own
        options = {_WRITES: writes} if self._is_sqlite else {"postgresql_readonly": not writes}
        try:
            connection = await engine.connect()
            return await connection.execution_options(**options)
        except BaseException:
            for each in opened:  # SQLAlchemy forgets one whose first steps are interrupted
                await _give_up(each)
            raise

    @contextlib.asynccontextmanager
    async def _transaction(self, phase: Phase, *, writes: bool) -> AsyncIterator[SqlAlchemyConnection]:
        async with self._lent(writes=writes) as connection:
            transaction = connection.begin()
            await _unbroken(transaction.start(), is_sqlite=self._is_sqlite)
            try:
                yield SqlAlchemyConnection(connection, is_sqlite=self._is_sqlite)
            except Exception as error:
                if not self.is_outage(error):
                    await _unbroken(transaction.rollback(), is_sqlite=self._is_sqlite)
                raise
            phase.committing = True
            await _unbroken(transaction.commit(), is_sqlite=self._is_sqlite)

    def reading(self) -> contextlib.AbstractAsyncContextManager[SqlAlchemyConnection]:
        """Lend a connection whose statements can't write."""
        return self._transaction(Phase(), writes=False)

    def writing(self, phase: Phase) -> contextlib.AbstractAsyncContextManager[SqlAlchemyConnection]:
        """Lend a connection inside a transaction that commits at the end."""
        return self._transaction(phase, writes=True)

    async def resize(self, size: int) -> None:
        """Lend from an engine of that size from now on; the old one's connections close as they come back."""
        if self._engines is not None:
            self._engines.replace(self._make_engine(size))

    def is_outage(self, error: BaseException) -> bool:
        """Whether the database is the trouble, and not the statement."""
        return bool(self._errors.is_outage(_cause(error)))

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the database undid the transaction because of others."""
        return bool(self._errors.is_rolled_back(_cause(error)))

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""
        pool = self._engines.current.pool if self._engines is not None else None
        idle, lent = (0, 0)
        if isinstance(pool, AsyncAdaptedQueuePool):
            idle, lent = pool.checkedin(), pool.checkedout()
        return self._slots.stats() | {"opened": self._opened, "connections": idle + lent, "idle": idle}

    async def close(self) -> None:
        """Close every connection."""
        await self._opener.close()
        if self._engines is not None:
            await self._engines.close()


async def _unbroken(work: Coroutine[Any, Any, T], *, is_sqlite: bool) -> T:
    """Run what SQLAlchemy would leave half done when a second cancellation comes while it cleans up after the first.

    PostgreSQL's statement is cancelled, once; SQLite's, whose thread can't be interrupted, runs to its end.
    """
    return await contained(work, undo=None if is_sqlite else _keep)


async def _keep(_result: object) -> None:
    """Leave a result that came in spite of a cancellation; the connection is dropped anyway."""


def _errors_of(is_sqlite: bool) -> ModuleType:  # noqa: FBT001 - of two kinds
    from resilience.connections import _postgres, _sqlite

    return _sqlite if is_sqlite else _postgres


def _begin(connection: sqlalchemy.Connection) -> None:
    """Begin as one means to go on: a writer that only begins by reading may find the file changed under it."""
    writes = bool(connection.get_execution_options().get(_WRITES))
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _cause(error: BaseException) -> BaseException:
    """What the driver raised, behind SQLAlchemy's and its adapter's errors."""
    if not isinstance(error, sqlalchemy.exc.DBAPIError) or error.orig is None:
        return error
    return error.orig.__cause__ or error.orig


async def _close(connection: AsyncConnection) -> None:
    await connection.close()


async def _dispose(engine: AsyncEngine) -> None:
    await engine.dispose()


async def _drop(connection: AsyncConnection) -> None:
    """Give a connection up: at once where the driver can, for a farewell may hang as the statement did."""
    if connection.invalidated:
        return
    raw = await connection.get_raw_connection()
    await _give_up(raw.driver_connection)
    await connection.invalidate()


async def _give_up(connection: Any) -> None:
    if hasattr(connection, "terminate"):
        connection.terminate()
    else:
        await connection.close()
