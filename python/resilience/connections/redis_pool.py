"""A Redis pool that loses no connection to cancellation and can be resized while in use."""

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from resilience.connections._config import ConnectionConfig
from resilience.connections._slots import Slots


class GuardedRedisPool(ConnectionPool):
    """Hands out connections to those who hold a place.

    redis-py's pools give a connection back in several steps that cancellation can interrupt, which keeps its place
    for ever; here giving back always runs to its end. A connection whose command was cancelled is closed by redis-py
    before it comes back, so that nobody reads another's reply.

    Args:
        slots: who may have a connection.
        **settings: as redis-py's pool takes them.
    """

    def __init__(self, *, slots: Slots, **settings: Any) -> None:
        super().__init__(max_connections=2**31, **settings)  # places bound it, and can be changed
        self.slots = slots
        self.opened = 0
        self._returning: set[asyncio.Task[None]] = set()

    def make_connection(self) -> Any:
        """Make a connection, and count it."""
        self.opened += 1
        return super().make_connection()  # type: ignore[no-untyped-call]

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Wait for a place and return a connected connection.

        Raises:
            BulkheadFullError: when no place came free in time.
        """
        await self.slots.acquire("redis")
        try:
            connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self.slots.release("redis")
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await connection.disconnect(nowait=True)  # half a handshake must not be anybody's answer
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back, whatever happens to the caller meanwhile."""
        if not self._lock.locked() and not connection.should_reconnect():
            await self._give_back(connection)  # suspends nowhere before the connection is back
            return
        giving_back = asyncio.create_task(self._give_back(connection))
        self._returning.add(giving_back)
        giving_back.add_done_callback(self._returning.discard)
        await asyncio.shield(giving_back)

    async def _give_back(self, connection: Any) -> None:
        try:
            await super().release(connection)
        finally:
            self.slots.release("redis")

    @property
    def connections(self) -> int:
        """Connections that are open."""
        known = (*self._available_connections, *self._in_use_connections)
        return sum(1 for connection in known if connection.is_connected)

    async def trim(self) -> None:
        """Close idle connections beyond the number of places."""
        surplus = len(self._available_connections) + len(self._in_use_connections) - self.slots.limit
        dropped = [
            self._available_connections.pop(0) for _ in range(min(surplus, len(self._available_connections)))
        ]
        await asyncio.gather(*(connection.disconnect() for connection in dropped))

    async def warm(self, count: int) -> None:
        """Open connections until `count` are open, or every place is taken."""
        held = []
        try:
            for _ in range(min(count, self.slots.limit)):
                held.append(await self.get_connection())  # noqa: PERF401 - what is held is given back either way
        finally:
            for connection in held:
                await self.release(connection)


def redis_client(url: str, config: ConnectionConfig) -> tuple[Redis, GuardedRedisPool]:
    """Make a client whose retries are off, whose pool is finite and whose waits all end."""
    slots = Slots(
        "redis pool",
        config.redis_pool_size,
        max_wait=config.redis_pool_timeout,
        max_waiting=config.max_waiting,
    )
    pool = GuardedRedisPool.from_url(
        url,
        slots=slots,
        socket_timeout=config.redis_timeout,
        socket_connect_timeout=config.redis_connection_timeout,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
    return Redis.from_pool(pool), pool
