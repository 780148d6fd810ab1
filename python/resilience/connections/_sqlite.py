"""SQLite by aiosqlite: one connection that writes, several that read beside it."""

import asyncio
import contextlib
import functools
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import aiosqlite

from resilience.connections._contained import contained
from resilience.connections._database_drivers import Phase
from resilience.connections._slots import Slots

_BUSY = ("database is locked", "database table is locked", "unable to open", "disk i/o error", "disk is full")
_WAL_ATTEMPT_MS = 50
_SKIPPED_OR_PARAMETER = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(\d+)""", re.DOTALL | re.VERBOSE
)


@functools.lru_cache(maxsize=1_000)
def _as_sqlite(query: str) -> tuple[str, tuple[int, ...]]:
    """A query with PostgreSQL's ``$1`` as SQLite's ``?``, and which parameter each of those takes."""
    order: list[int] = []

    def replace(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        order.append(int(found[1]) - 1)
        return "?"

    return _SKIPPED_OR_PARAMETER.sub(replace, query), tuple(order)


def bound(query: str, rows: Iterable[Sequence[Any]]) -> tuple[str, list[Sequence[Any]]]:
    """Return query and rows of parameters so that one text serves PostgreSQL and SQLite.

    Raises:
        sqlite3.ProgrammingError: if a row has more or fewer parameters than ``$1`` and so on ask for.
    """
    text, order = _as_sqlite(query)
    if not order:
        return text, list(rows)
    arranged: list[Sequence[Any]] = []
    for row in rows:
        if len(row) != max(order) + 1:
            raise sqlite3.ProgrammingError(f"the statement takes {max(order) + 1} parameters, got {len(row)}")
        arranged.append(tuple(row[each] for each in order))
    return text, arranged


def is_outage(error: BaseException) -> bool:
    """Whether the file is the trouble, and not the statement."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).lower().startswith(_BUSY)
    return isinstance(error, (OSError, TimeoutError))


def is_rolled_back(error: BaseException) -> bool:
    """Whether another process's lock kept the transaction from happening."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


async def write_ahead(connection: aiosqlite.Connection, patience: float) -> None:
    """Switch a file to WAL mode, which it then keeps.

    Of two processes that open a new file at once the later may have read that it is not in WAL mode yet: it would
    wait in vain for a lock that the other keeps as long as it lives. Asked anew, it is in WAL mode. Each answer is
    read: a statement with a row left over goes on, with its locks, for as long as somebody holds its cursor.

    Args:
        connection: not in a transaction.
        patience: seconds > 0 until the last attempt; each waits a fraction of a second, later statements as long.

    Raises:
        sqlite3.OperationalError: when another process's lock lasts longer.
    """
    until = monotonic() + patience
    await connection.execute_fetchall(f"PRAGMA busy_timeout={min(_WAL_ATTEMPT_MS, int(patience * 1e3))}")
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not is_rolled_back(error) or monotonic() >= until:
                raise
        else:
            break
    await connection.execute_fetchall(f"PRAGMA busy_timeout={int(patience * 1e3)}")


def _identity(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


class SqliteConnection:
    """The few methods that both databases' connections share; parameters are ``$1`` or ``?``."""

    def __init__(self, inner: aiosqlite.Connection) -> None:
        self.inner = inner

    async def fetch(self, query: str, *arguments: Any) -> list[sqlite3.Row]:
        """Run a query and return its rows."""
        text, [row] = bound(query, [arguments])
        async with self.inner.execute(text, row) as cursor:
            return list(await cursor.fetchall())

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement and return how many rows it changed."""
        text, [row] = bound(query, [arguments])
        async with self.inner.execute(text, row) as cursor:
            return cursor.rowcount

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        async with self.inner.executemany(*bound(query, rows)):
            pass


class SqliteDriver:
    """Connections to one file in WAL mode, so that readers never wait for the writer.

    A connection works in a thread of its own, which can't be interrupted: a cancelled caller's statement runs to its
    end before the connection is lent again.

    Args:
        path: of the file, or ``":memory:"``, which has one connection for everything.
        slots: who may read.
        statement_timeout: seconds to wait for another process's lock.
    """

    def __init__(self, path: str, *, slots: Slots, statement_timeout: float) -> None:
        self._path = path
        self._slots = slots
        self._timeout = statement_timeout
        self._idle: list[SqliteConnection] = []
        self._all: list[SqliteConnection] = []
        self._writer: SqliteConnection | None = None
        self._file: tuple[int, int] | None = None  # which one the writer has open; none in memory
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Open the writing connection."""
        self._writer = await self._connect()
        await write_ahead(self._writer.inner, self._timeout)
        if self._path != ":memory:":
            self._file = await asyncio.to_thread(_identity, self._path)

    async def check(self) -> None:
        """Raise an OSError when the file was removed or replaced: open connections go on in it, for nobody else.

        What is written then would be gone with the process.
        """
        if self._file is not None and await asyncio.to_thread(_identity, self._path) != self._file:
            raise OSError("another file has taken the place of the one that is open")

    async def _connect(self) -> SqliteConnection:
        inner = await aiosqlite.connect(self._path, timeout=self._timeout, isolation_level=None)
        inner.row_factory = sqlite3.Row
        made = SqliteConnection(inner)
        self._all.append(made)
        return made

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[SqliteConnection]:
        """Lend a connection whose statements can't write."""
        if self._path == ":memory:":
            async with self._lock:
                assert self._writer is not None  # noqa: S101 - opened before use
                yield self._writer
            return
        await self._slots.acquire("database")
        try:
            while not self._idle:
                await contained(self._add_reader())
            connection = self._idle.pop()
            try:
                yield connection
            finally:
                self._idle.append(connection)
                await contained(self._trim())
        finally:
            self._slots.release("database")

    async def _add_reader(self) -> None:
        connection = await self._connect()
        await connection.inner.execute_fetchall("PRAGMA query_only=ON")
        self._idle.append(connection)

    @contextlib.asynccontextmanager
    async def writing(self, phase: Phase) -> AsyncIterator[SqliteConnection]:
        """Lend the writing connection inside a transaction that commits at the end."""
        async with self._lock:
            writer = self._writer
            assert writer is not None  # noqa: S101 - opened before use
            try:
                await contained(writer.execute("BEGIN IMMEDIATE"))
                yield writer
                phase.committing = True
                await contained(writer.execute("COMMIT"))
            finally:
                if writer.inner.in_transaction:
                    await contained(writer.execute("ROLLBACK"))

    async def resize(self, size: int) -> None:
        """Close idle readers beyond the number of places."""
        del size
        await contained(self._trim())

    async def _trim(self) -> None:
        while self._idle and len(self._all) - 1 > self._slots.limit:  # one of all is the writer
            surplus = self._idle.pop(0)
            self._all.remove(surplus)
            await surplus.inner.close()

    def is_outage(self, error: BaseException) -> bool:
        """Whether the file is the trouble, and not the statement."""
        return is_outage(error)

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether another process's lock kept the transaction from happening."""
        return is_rolled_back(error)

    def stats(self) -> dict[str, Any]:
        """Return the figures of the connections."""
        return self._slots.stats() | {"connections": len(self._all), "idle": len(self._idle)}

    async def close(self) -> None:
        """Close every connection."""
        while self._all:
            await self._all.pop().inner.close()
        self._idle.clear()
