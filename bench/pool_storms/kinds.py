"""Each kind of pool with a server of its own, behind one face."""

import contextlib
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from resilience.connections import ConnectionConfig, ConnectionManager, DatabasePool

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "py"))

from support.http_clients import Client
from support.http_server import http_server
from support.postgres_server import PostgresServer, _binaries
from support.redis_server import RedisServer

SIZE = 10


@dataclass
class Kind:
    """A pool that is running.

    `ask(n)` makes one request and says whether the answer was its own; `in_use` and `idle` are the pool's figures;
    `resize(n)` changes its size.
    """

    ask: Callable[[int], Awaitable[bool]]
    stats: Callable[[], dict[str, Any]]
    resize: Callable[[int], Awaitable[object]]


@contextlib.asynccontextmanager
async def http(library: str, *, tls: bool) -> AsyncIterator[Kind]:
    serving, verify = (None, True)
    if tls:
        authority = trustme.CA()
        serving, verify = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        authority.configure_trust(verify)
    config = ConnectionConfig(http_pool_size=SIZE, http_pool_timeout=60)
    async with http_server(serving) as server, Client(library, config, verify=verify) as client:

        async def ask(number: int) -> bool:
            answer = await client.get(f"{server.url}/echo/{number}?ticks={number % 7}")
            return answer == (200, str(number).encode())

        yield Kind(
            ask,
            lambda: client.manager.stats()["http"],
            lambda size: client.manager.resize(http_pool_size=size),
        )


@contextlib.asynccontextmanager
async def redis() -> AsyncIterator[Kind]:
    server = RedisServer()
    config = ConnectionConfig(redis_pool_size=SIZE, redis_pool_timeout=60, redis_timeout=60)
    try:
        async with ConnectionManager(config, redis_url=server.url) as manager:

            async def ask(number: int) -> bool:
                return await manager.redis.echo(str(number)) == str(number).encode()

            yield Kind(
                ask, lambda: manager.stats()["redis"], lambda size: manager.resize(redis_pool_size=size)
            )
    finally:
        server.close()


@contextlib.asynccontextmanager
async def database(scheme: str) -> AsyncIterator[Kind]:
    with contextlib.ExitStack() as stack:
        if scheme.startswith("sqlite"):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            dsn = f"{scheme}:///{folder}/storm.db"
        else:
            server = PostgresServer(_binaries())
            stack.callback(server.close)
            dsn = server.dsn.replace("postgresql", scheme, 1)
        async with DatabasePool(dsn, size=SIZE, pool_timeout=60) as pool:

            async def ask(number: int) -> bool:
                rows = await pool.read("select cast($1 as int) as id", number)
                return rows[0]["id"] == number

            yield Kind(ask, pool.stats, pool.resize)


KINDS: dict[str, Callable[[], contextlib.AbstractAsyncContextManager[Kind]]] = {
    "aiohttp": lambda: http("aiohttp", tls=False),
    "aiohttp, TLS": lambda: http("aiohttp", tls=True),
    "httpx": lambda: http("httpx", tls=False),
    "httpx, TLS": lambda: http("httpx", tls=True),
    "httpx2": lambda: http("httpx2", tls=False),
    "httpx2, TLS": lambda: http("httpx2", tls=True),
    "redis": redis,
    "SQLite": lambda: database("sqlite"),
    "SQLite, SQLAlchemy": lambda: database("sqlite+aiosqlite"),
    "PostgreSQL": lambda: database("postgresql"),
    "PostgreSQL, SQLAlchemy": lambda: database("postgresql+asyncpg"),
}
