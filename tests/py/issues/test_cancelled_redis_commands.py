"""redis-py #2624 and #2665: a cancelled command left its reply for the next caller, or kept its connection."""

import asyncio

from resilience.connections import ConnectionConfig, ConnectionManager
from support.redis_server import redis_server  # noqa: F401 - a fixture
from support.storm import CancelStorm
from support.until import until

SIZE = 10


def manager(redis_server):  # noqa: F811 - pytest's way
    config = ConnectionConfig(
        redis_pool_size=SIZE, redis_pool_timeout=30, redis_timeout=30, redis_connection_timeout=30
    )
    return ConnectionManager(config, redis_url=redis_server.url)


async def test_cancelled_commands_lose_no_place_and_cross_no_replies(redis_server):  # noqa: F811
    async with manager(redis_server) as pools:

        async def request(number):
            text = str(number).encode()
            assert await pools.redis.echo(text) == text

        storm = CancelStorm(request, seed=2624, longest=30)
        await storm.run()
        assert min(storm.finished, storm.cancelled) > 0
        await until(lambda: pools.stats()["redis"]["in_use"] == 0)
        echoes = await asyncio.gather(*(pools.redis.echo(str(number)) for number in range(SIZE)))
        assert echoes == [str(number).encode() for number in range(SIZE)]
        assert pools.stats()["redis"]["idle"] <= SIZE


async def test_warming_opens_connections_and_resizing_closes_them(redis_server):  # noqa: F811
    async with manager(redis_server) as pools:
        await pools.warm(connections=8)
        assert pools.stats()["redis"] == pools.stats()["redis"] | {"idle": 8, "in_use": 0, "size": SIZE}
        await pools.resize(redis_pool_size=3)
        await until(lambda: pools.stats()["redis"]["idle"] <= 3)
        assert pools.stats()["redis"]["size"] == 3
        assert await asyncio.gather(*(pools.redis.ping() for _ in range(20))) == [True] * 20
