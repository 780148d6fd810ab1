"""A pool for one database: reads and writes each under their own breaker, repeated when that is safe."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience._retry import retry
from resilience._types import type_name
from resilience.connections._config import check_count, check_seconds
from resilience.connections._contained import contained
from resilience.connections._database_drivers import Driver, Phase
from resilience.connections._optional import require
from resilience.connections._slots import Slots
from resilience.errors import CallTimeoutError, RejectedError, ResilienceError

_SCHEMES = ("postgresql", "postgres", "sqlite", "postgresql+asyncpg", "sqlite+aiosqlite")

Work = str | Callable[[Any], Awaitable[Any]]


class CommitUncertainError(ResilienceError):
    """The connection was lost while a write was being committed: it may have happened, and isn't repeated."""


class Operation:
    """A read or write that is about to happen: ``await`` it, or enter it with ``async with``.

    Awaiting runs the query or function that was given, and repeats it when that is safe; entering lends the
    connection to the block, which runs once.
    """

    def __init__(
        self, pool: "DatabasePool", work: Work | None, arguments: tuple[Any, ...], *, writes: bool
    ) -> None:
        self._pool = pool
        self._work = work
        self._arguments = arguments
        self._writes = writes
        self._block: AbstractAsyncContextManager[Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run it."""
        if self._work is None:
            raise TypeError("give a query or a function to await, or enter the block with 'async with'")
        return self._pool._run(self._work, self._arguments, writes=self._writes).__await__()  # noqa: SLF001

    async def __aenter__(self) -> Any:
        """Lend a connection."""
        if self._work is not None:
            raise TypeError("a query is awaited; 'async with' takes none")
        self._block = self._pool._block(writes=self._writes)  # noqa: SLF001
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Take it back; a write commits unless the block failed."""
        if self._block is None:
            raise RuntimeError("the block was left without being entered")
        return await self._block.__aexit__(kind, error, trace)


class DatabasePool:
    """Connections to PostgreSQL or SQLite, bounded, guarded and measured.

    ``await pool.read("select ...", argument)`` returns rows; ``await pool.write("insert ...", argument)`` runs in a
    transaction of its own. Both also take a coroutine function of a connection, which has ``fetch``, ``execute`` and
    ``executemany``, and without anything are a block: ``async with pool.write() as connection:``. What is awaited is
    repeated after an outage, a write only when it is known not to have been committed; a block runs once. Parameters
    are ``$1``, ``$2``... for each kind of database.

    Reads, writes and the opening of connections have a breaker each, so that failing writes stop no read. A mistake
    in a statement is raised as it is and counts for none of them.

    Args:
        dsn: ``postgresql://...``, ``sqlite:///path`` or ``sqlite://:memory:``; by SQLAlchemy's engine,
            ``postgresql+asyncpg://...`` or ``sqlite+aiosqlite:///path``.
        size: connections at most, 1 to 65,535.
        pool_timeout: seconds to wait for a connection.
        statement_timeout: seconds for one statement.
        connect_timeout: seconds for opening a connection.
        attempts: of what may be repeated, 1 to 10.
        read_breaker: guards reads; by default 8 failures or 60 %, 15 s recovery, 3 successes.
        write_breaker: guards writes; by default 3 failures or 40 %, 30 s recovery, 2 successes.
        connect_breaker: guards opening connections; by default 5 failures, 20 s recovery.
        clock: of the breakers made by default.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for a `dsn` of no known kind, or an argument out of range.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int = 10,
        pool_timeout: float = 5.0,
        statement_timeout: float = 30.0,
        connect_timeout: float = 5.0,
        attempts: int = 3,
        read_breaker: CircuitBreaker | None = None,
        write_breaker: CircuitBreaker | None = None,
        connect_breaker: CircuitBreaker | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(dsn, str):
            raise TypeError(f"dsn must be a string, got {type_name(dsn)}")
        self._scheme, separator, self._rest = dsn.partition("://")
        if not separator or self._scheme not in _SCHEMES:
            raise ValueError(f"dsn must start with one of {', '.join(f'{each}://' for each in _SCHEMES)}")
        if self._scheme == "sqlite+aiosqlite" and self._rest.partition("?")[0] in {"", "/", "/:memory:"}:
            raise ValueError("dsn must name a file: SQLAlchemy's engine gives each connection its own memory")
        self._dsn = dsn
        self._size = check_count("size", size)
        self._slots = Slots(
            "database pool", size, max_wait=check_seconds("pool_timeout", pool_timeout), max_waiting=10_000
        )
        self._statement_timeout = check_seconds("statement_timeout", statement_timeout)
        self._connect_timeout = check_seconds("connect_timeout", connect_timeout)
        check_count("attempts", attempts, high=10)
        self.read_breaker = read_breaker or self._breaker("read", 8, 15.0, 3, 0.6, clock)
        self.write_breaker = write_breaker or self._breaker("write", 3, 30.0, 2, 0.4, clock)
        self.connect_breaker = connect_breaker or self._breaker("connect", 5, 20.0, 2, None, clock)
        self._retries = {
            False: retry(on=self._may_repeat, attempts=attempts, wait_initial=0.05, wait_max=1.0),
            True: retry(on=self._may_repeat, attempts=attempts, wait_initial=0.05, wait_max=1.0),
        }
        self._driver: Driver | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    def _breaker(
        self,
        kind: str,
        failures: int,
        recovery: float,
        successes: int,
        rate: float | None,
        clock: Clock | None,
    ) -> CircuitBreaker:
        return CircuitBreaker(
            f"database:{kind}",
            failure_threshold=failures,
            failure_rate_threshold=rate,
            recovery_timeout=recovery,
            success_threshold=successes,
            failure_on=self._is_outage,
            clock=clock,
        )

    # ---- using ----

    def read(self, work: Work | None = None, *arguments: Any) -> Operation:
        """Read: rows of a query, the result of a function of a connection, or a block.

        ``await database.read(...)`` for the first two, ``async with database.read() as connection:`` for a block,
        which runs once.

        Args:
            work: a query, or an async function of a connection and the arguments; left out for a block.
            *arguments: the query's ``$1``, ``$2`` …, or the function's after the connection.

        Raises:
            CircuitOpenError: while reads or connecting are known to fail.
            BulkheadFullError: when no connection came free in time.
        """
        return Operation(self, work, arguments, writes=False)

    def write(self, work: Work | None = None, *arguments: Any) -> Operation:
        """Write in a transaction: a statement, a function of a connection, or a block.

        Used as `read` is. A block runs once; a statement and a function are repeated after an outage that came
        before their commit was sent.

        Args:
            work: a statement, or an async function of a connection and the arguments; left out for a block.
            *arguments: the statement's ``$1``, ``$2`` …, or the function's after the connection.

        Raises:
            CommitUncertainError: when the connection was lost while committing.
            CircuitOpenError: while writes or connecting are known to fail.
            BulkheadFullError: when no connection came free in time.
        """
        return Operation(self, work, arguments, writes=True)

    async def _run(self, work: Work, arguments: tuple[Any, ...], *, writes: bool) -> Any:
        async def once() -> Any:
            async with self._block(writes=writes) as connection:
                if callable(work):
                    return await work(connection, *arguments)
                if writes:
                    return await connection.execute(work, *arguments)
                return await connection.fetch(work, *arguments)

        return await self._retries[writes].call(once)

    @asynccontextmanager
    async def _block(self, *, writes: bool) -> AsyncIterator[Any]:
        driver = await self._ready()
        phase = Phase()
        breaker = self.write_breaker if writes else self.read_breaker
        async with breaker.guard():
            try:
                async with driver.writing(phase) if writes else driver.reading() as connection:
                    yield connection
            except Exception as error:
                if phase.committing and driver.is_outage(error):
                    raise CommitUncertainError("the connection was lost while committing") from error
                raise

    async def _ready(self) -> Driver:
        if self._driver is not None:
            return self._driver
        async with self._opening:
            self._check_open()
            if self._driver is None:
                self._driver = await contained(self._open())
        return self._driver

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this pool is closed")

    async def _open(self) -> Driver:
        driver = self._make_driver()
        try:
            await driver.open()
            self._check_open()  # it may have been closed meanwhile
        except BaseException:
            await driver.close()  # a thread that is left to itself keeps the process from ending
            raise
        self._driver = driver
        return driver

    def _make_driver(self) -> Driver:
        settings: dict[str, Any] = {
            "size": self._size,
            "slots": self._slots,
            "statement_timeout": self._statement_timeout,
            "connect_timeout": self._connect_timeout,
            "connect": self.connect_breaker.call,
        }
        if "+" in self._scheme:
            require("sqlalchemy", "sqlalchemy")
            from resilience.connections._sqlalchemy import SqlAlchemyDriver

            return SqlAlchemyDriver(self._dsn, **settings)
        if self._scheme == "sqlite":
            require("aiosqlite", "database")
            from resilience.connections._sqlite import SqliteDriver

            # SQLite's own empty name is a file a connection
            path = self._rest.removeprefix("/") or ":memory:"
            return SqliteDriver(path, slots=self._slots, statement_timeout=self._statement_timeout)
        require("asyncpg", "database")
        from resilience.connections._postgres import PostgresDriver

        return PostgresDriver(self._dsn, **settings)

    @property
    def kind(self) -> str:
        """``"postgresql"`` or ``"sqlite"``."""
        return "sqlite" if self._scheme.startswith("sqlite") else "postgresql"

    def is_unavailable(self, error: BaseException) -> bool:
        """Whether `error` came because the database can't be used now, and not because of what was asked of it."""
        return isinstance(error, RejectedError) or self._is_outage(error)

    def _is_outage(self, error: BaseException) -> bool:
        if isinstance(error, RejectedError):
            return False
        if isinstance(error, (CommitUncertainError, CallTimeoutError)):
            return True
        return self._driver is None or self._driver.is_outage(error)

    def _may_repeat(self, error: BaseException) -> bool:
        """A commit that may have happened is the one outage after which nothing is repeated."""
        if isinstance(error, (CommitUncertainError, RejectedError)) or self._driver is None:
            return False
        return self._driver.is_outage(error) or self._driver.is_rolled_back(error)

    # ---- looking ----

    async def check(self) -> None:
        """Return when the database answers; raise when it doesn't. Passes no breaker and counts for none.

        The file of a ``sqlite://`` that was removed or replaced while it was open is no database that answers.
        """
        driver = await self._ready()
        async with asyncio.timeout(self._connect_timeout):
            async with driver.reading() as connection:
                await connection.fetch("select 1")
            await driver.check()

    def stats(self) -> dict[str, Any]:
        """Return the figures, JSON-ready."""
        report: dict[str, Any] = {"kind": self.kind}
        report |= self._driver.stats() if self._driver is not None else self._slots.stats()
        breakers = {"read": self.read_breaker, "write": self.write_breaker, "connect": self.connect_breaker}
        report["breakers"] = {name: breaker.state.value for name, breaker in breakers.items()}
        return report

    async def resize(self, size: int) -> None:
        """Change the number of connections while in use; what is under way ends as it began.

        Args:
            size: connections at most, 1 to 65,535.

        Raises:
            TypeError: when it is no whole number.
            ValueError: when it is out of range; nothing is changed.
        """
        self._size = check_count("size", size)
        self._slots.resize(size, None)
        if self._driver is not None:
            await self._driver.resize(size)

    async def close(self) -> None:
        """Close every connection; may be called again."""
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()
