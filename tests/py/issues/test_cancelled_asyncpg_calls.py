"""asyncpg #467: a call cancelled while its connection was taken or given back left it unusable in the pool."""

import asyncio
import contextlib

from resilience.connections import DatabasePool
from support.postgres_server import postgres_server  # noqa: F401 - a fixture


async def test_no_turn_of_a_call_is_the_wrong_one_to_cancel(postgres_server):  # noqa: F811 - pytest's way
    async with DatabasePool(postgres_server.dsn, size=1) as pool:
        for turns in range(60):
            task = asyncio.create_task(reading(pool, turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert pool.stats()["in_use"] == 0
        assert await reading(pool, 7) == 7


async def reading(pool, number):
    rows = await pool.read("select $1::int as number", number)
    return rows[0]["number"]
