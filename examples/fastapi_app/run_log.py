"""What agents and workflows did and what the models used, kept in a database: SQLite, or PostgreSQL by DATABASE_URL.

Figures only, never what was said. Nobody waits for the database: records are written in batches behind the
requests, and one that can't be written in spite of retries is counted, not an error of the run it tells of. Each
record has its own key, so that a batch which is written again writes nothing twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields
from time import perf_counter, time
from typing import Any, Literal
from uuid import uuid4

from resilience import RequestBatcher
from resilience.connections import DatabasePool

_log = logging.getLogger(__name__)

BATCH = 200
BATCH_WINDOW_MS = 100
MAX_PENDING = 20_000
TRIM_EVERY = 1_000
CLOSE_TIMEOUT = 3.0
SCHEMA_LOCK = 8003  # workers that start at once make the tables in turn

_SCHEMA = (
    """create table if not exists runs (
        id text primary key, at double precision not null, kind text not null, name text not null,
        status text not null, seconds double precision not null, prompt_tokens bigint, completion_tokens bigint)""",
    """create table if not exists model_calls (
        id text primary key, at double precision not null, model text not null, operation text not null,
        prompt_tokens bigint not null, completion_tokens bigint not null, cost_usd double precision)""",
    "create index if not exists runs_by_time on runs (at)",
    "create index if not exists model_calls_by_time on model_calls (at)",
)
_NEWEST_RUNS = """select id, at, kind, name, status, seconds, prompt_tokens, completion_tokens
    from runs order by at desc, id limit $1"""
_USAGE = """select model, operation, count(*) as calls, cast(sum(prompt_tokens) as bigint) as prompt_tokens,
    cast(sum(completion_tokens) as bigint) as completion_tokens, sum(cost_usd) as cost_usd
    from model_calls where at >= $1
    group by model, operation order by model, operation"""
# Only the newest are kept: those before the n-th newest go.
_TRIM = "delete from {table} where at < (select at from {table} order by at desc limit 1 offset $1)"


@dataclass(slots=True)
class Run:
    """One run of an agent or a workflow; token counts are None where the model told none."""

    kind: Literal["agent", "workflow"]
    name: str
    id: str = field(default_factory=lambda: uuid4().hex)
    at: float = field(default_factory=time)
    status: Literal["answered", "fallback", "failed"] = "failed"
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def finish(
        self,
        *,
        is_fallback: bool = False,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
    ) -> None:
        """Note how it ended; one that never gets here has failed."""
        self.status = "fallback" if is_fallback else "answered"
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


@dataclass(slots=True)
class Usage:
    """What one call of a model used; the cost is None where no price is known."""

    model: str
    operation: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = None
    id: str = field(default_factory=lambda: uuid4().hex)
    at: float = field(default_factory=time)


_TABLES: dict[type[Run] | type[Usage], str] = {Run: "runs", Usage: "model_calls"}


def _insert(kind: type[Run] | type[Usage]) -> str:
    names = [each.name for each in fields(kind)]
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    table = _TABLES[kind]
    return f"insert into {table} ({', '.join(names)}) values ({values}) on conflict (id) do nothing"  # noqa: S608 - our own names  # nosec B608


_INSERTS = {kind: _insert(kind) for kind in _TABLES}


class RunLog:
    """Records of runs and usage.

    Args:
        database: where they are kept.
        kept: how many of each kind; the oldest beyond it are removed.
    """

    def __init__(self, database: DatabasePool, *, kept: int) -> None:
        self._database = database
        self._kept = kept
        self._batcher = RequestBatcher(
            BATCH, BATCH_WINDOW_MS, self._store, max_pending=MAX_PENDING, max_concurrent_batches=1
        )
        self._has_tables = False
        self._untrimmed = TRIM_EVERY
        self._is_trimming_told = False
        self.recorded = 0
        self.lost = 0

    def figures(self) -> dict[str, int]:
        """Return how many records this process has written, lost, and not written yet."""
        pending = self._batcher.get_metrics()["pending_requests"]
        return {"recorded": self.recorded, "lost": self.lost, "pending": int(pending)}

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the last runs, the newest first."""
        return await self._rows(_NEWEST_RUNS, limit)

    async def usage(self, since: float) -> list[dict[str, Any]]:
        """Return what was used since a UNIX time, by model and operation."""
        return await self._rows(_USAGE, since)

    async def _rows(self, query: str, argument: float) -> list[dict[str, Any]]:
        await self._make_tables()
        return [dict(row) for row in await self._database.read(query, argument)]

    async def close(self) -> None:
        """Write what is left, for as long as a server that leaves may take."""
        await self._batcher.close(drain=True, timeout=CLOSE_TIMEOUT)

    @contextlib.contextmanager
    def run(self, kind: Literal["agent", "workflow"], name: str) -> Iterator[Run]:
        """Record what happens inside as one run."""
        run = Run(kind, name)
        started = perf_counter()
        try:
            yield run
        finally:
            run.seconds = perf_counter() - started
            self._add(run)

    def used(
        self,
        model: str,
        operation: str,
        prompt_tokens: int,
        completion_tokens: int,
        cost_usd: float | None = None,
    ) -> None:
        """Record what a call of a model used."""
        self._add(Usage(model, operation, prompt_tokens, completion_tokens, cost_usd))

    def _add(self, record: Run | Usage) -> None:
        self._batcher.add_request(record.id, record).add_done_callback(self._stored)

    def _stored(self, result: asyncio.Future[Any]) -> None:
        if result.cancelled() or result.exception() is not None:
            self.lost += 1
        else:
            self.recorded += 1

    async def _store(self, records: Sequence[Run | Usage]) -> Sequence[None]:
        await self._make_tables()

        async def store(connection: Any) -> None:
            for kind in _TABLES:
                rows = [astuple(record) for record in records if type(record) is kind]
                if rows:
                    await connection.executemany(_INSERTS[kind], rows)

        await self._database.write(store)
        await self._trim(len(records))
        return [None] * len(records)

    async def _trim(self, added: int) -> None:
        """Remove the oldest records from time to time; when that fails, after the next batch: this one is stored."""
        self._untrimmed += added
        if self._untrimmed < TRIM_EVERY:
            return
        try:
            for table in _TABLES.values():
                await self._database.write(_TRIM.format(table=table), self._kept)
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are stored
            if not self._is_trimming_told:
                _log.warning("old records can't be removed: %r", error)
            self._is_trimming_told = True
        else:
            self._untrimmed, self._is_trimming_told = 0, False

    async def _make_tables(self) -> None:
        if self._has_tables:
            return

        async def make(connection: Any) -> None:
            if self._database.kind == "postgresql":
                await connection.execute("select pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            for statement in _SCHEMA:
                await connection.execute(statement)

        await self._database.write(make)
        self._has_tables = True
