"""PostgreSQL or SQLite by SQLAlchemy's asynchronous engine, for services that speak SQLAlchemy anyway."""

from collections.abc import Coroutine, Iterable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from resilience.connections._contained import contained
from resilience.connections._pooled_driver import GRACE, PooledDriver
from resilience.connections._postgres import Opener, server_settings
from resilience.connections._sqlite import bound, write_ahead

T = TypeVar("T")

_opened_here: ContextVar[list[Any]] = ContextVar("resilience_connections_opened")

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


class SqlAlchemyDriver(PooledDriver[AsyncEngine]):
    """An engine of SQLAlchemy; its `dsn` is ``postgresql+asyncpg://...`` or ``sqlite+aiosqlite:///path``."""

    def __init__(self, dsn: str, **settings: Any) -> None:
        super().__init__(dsn, **settings)
        self._opener = Opener()
        self._is_sqlite = dsn.startswith("sqlite")
        self._errors = _errors_of(self._is_sqlite)

    async def _make_pool(self, size: int) -> AsyncEngine:
        engine = create_async_engine(
            self._dsn,
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
            self._dsn.replace("+asyncpg", "", 1),
            command_timeout=self._statement_timeout + GRACE,
            timeout=self._connect_timeout,
            server_settings=server_settings(self._statement_timeout),
        )
        return self._note_opened(connection)

    async def _open_sqlite(self) -> Any:
        return await contained(self._open_file())  # aiosqlite forgets a file whose opening is interrupted

    async def _open_file(self) -> Any:
        import aiosqlite

        path = sqlalchemy.make_url(self._dsn).database
        connection = await aiosqlite.connect(str(path), timeout=self._statement_timeout, isolation_level=None)
        self._note_opened(connection)
        await write_ahead(connection, self._statement_timeout)
        return connection

    def _note_opened(self, connection: Any) -> Any:
        self._opened += 1
        _opened_here.get().append(connection)
        return connection

    async def _close_pool(self, pool: AsyncEngine) -> None:
        await pool.dispose()

    async def _acquire(self, pool: AsyncEngine, *, writes: bool) -> AsyncConnection:
        opened: list[Any] = []
        _opened_here.set(opened)  # `contained` runs this in a task of its own
        options = {_WRITES: writes} if self._is_sqlite else {"postgresql_readonly": not writes}
        try:
            connection = await pool.connect()
            return await connection.execution_options(**options)
        except BaseException:
            for each in opened:  # SQLAlchemy forgets one whose first steps are interrupted
                await _give_up(each)
            raise

    async def _release(self, pool: AsyncEngine, connection: AsyncConnection) -> None:
        del pool  # a connection knows its own
        await connection.close()

    async def _drop(self, connection: AsyncConnection) -> None:
        await contained(_drop(connection))

    def _transaction_of(self, connection: AsyncConnection, *, writes: bool) -> AsyncTransaction:
        del writes  # the connection was told
        return connection.begin()

    def _lent_as(self, connection: AsyncConnection) -> SqlAlchemyConnection:
        return SqlAlchemyConnection(connection, is_sqlite=self._is_sqlite)

    async def _step(self, work: Coroutine[Any, Any, T]) -> T:
        return await _unbroken(work, is_sqlite=self._is_sqlite)

    def _counts(self, pool: AsyncEngine) -> tuple[int, int]:
        connections = pool.pool
        if not isinstance(connections, AsyncAdaptedQueuePool):
            return 0, 0
        return connections.checkedin() + connections.checkedout(), connections.checkedin()

    def is_outage(self, error: BaseException) -> bool:
        """Whether the database is the trouble, and not the statement."""
        return bool(self._errors.is_outage(_cause(error)))

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether the database undid the transaction because of others."""
        return bool(self._errors.is_rolled_back(_cause(error)))

    async def close(self) -> None:
        """Close every connection."""
        await self._opener.close()
        await super().close()


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
