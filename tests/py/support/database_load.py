"""Pools of a PostgreSQL of the tests' own, and reads and writes of one whose size changes meanwhile."""

import asyncio
import contextlib

from resilience import CircuitBreaker
from resilience.connections import DatabasePool
from support.until import until

CALLS = 120


@contextlib.asynccontextmanager
async def pool_with_log(server, scheme, *, recovery, **settings):
    """Yield a pool of `server` with an empty table `log`, whose breakers recover after `recovery` seconds."""
    dsn = server.dsn.replace("postgresql", scheme, 1)
    pool = DatabasePool(dsn, size=5, pool_timeout=60, connect_timeout=60, **settings)
    for name in ("read_breaker", "write_breaker", "connect_breaker"):
        config = getattr(pool, name).config.replace(recovery_timeout=recovery)
        setattr(pool, name, CircuitBreaker.from_config(config, f"log:{name}"))
    async with pool:
        await pool.write("drop table if exists log")
        await pool.write("create table log (id int)")
        yield pool


async def resize_under_load(pool):
    """Insert the numbers below CALLS into `log`, each once, and read beside it; any error fails."""
    done = 0

    async def caller(first):
        nonlocal done
        for number in range(first, CALLS, 12):
            await pool.write("insert into log values ($1)", number)
            rows = await pool.read("select cast($1 as int) as id", number)
            assert rows[0]["id"] == number
            done += 1

    async def resizer():
        for size in (1, 9, 2, 5, 3):
            before = done
            await pool.resize(size)
            await until(lambda before=before: done > before + 10)

    async with asyncio.TaskGroup() as group:
        for first in range(12):
            group.create_task(caller(first))
        group.create_task(resizer())
    stats = pool.stats()
    assert (stats["size"], stats["in_use"], stats["waiting"], stats["refused"]) == (3, 0, 0, 0)
    assert stats["idle"] <= 3
