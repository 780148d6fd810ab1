"""Hearing of changes that other processes make in Redis.

One connection of each event loop listens: to the server's client tracking (in broadcast mode, redirected to the same
connection, so there is no second one that could be lost alone), or to the caches' own channel. It is kept alive by
pings; when it is lost, whatever changed meanwhile is unknown, and the owner is told so when it is back.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from resilience._cache.redis import RedisCache

_log = logging.getLogger("resilience.cache.redis")
_PING_EVERY = 1.0
_RETRY_FIRST, _RETRY_MOST = 0.05, 0.5
_TRACKING_CHANNEL = "__redis__:invalidate"


class InvalidationListener:
    """Listens for one RedisCache on one event loop until it is stopped.

    Args:
        remote: the cache.
        changed: called with what changed: ``"v:<key>"``, ``"t:<tag>"``, ``"c"`` for everything.
        connected: called with True each time that listening begins, before any change; with False when it is lost.
    """

    def __init__(
        self, remote: RedisCache, changed: Callable[[str], None], connected: Callable[[bool], None]
    ) -> None:
        self._remote = remote
        self._changed = changed
        self._connected = connected
        self.tried = asyncio.Event()  # set once the first attempt to connect is over
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="resilience-redis-invalidations"
        )

    async def stop(self) -> None:
        """Stop listening."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        wait = _RETRY_FIRST
        while True:
            connection = self._make_connection()
            try:
                async with asyncio.timeout(10 * self._remote.timeout):
                    await self._subscribe(connection)
                self._connected(True)  # noqa: FBT003
                self.tried.set()
                wait = _RETRY_FIRST
                await self._listen(connection)
            except Exception as error:  # noqa: BLE001 - any of redis-py's errors, timeouts, rubbish: connect again
                _log.debug("not listening to Redis: %r", error)
            finally:
                self._connected(False)  # noqa: FBT003
                self.tried.set()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _RETRY_MOST)

    def _make_connection(self) -> Any:
        pool = self._remote.client().connection_pool
        silence_is_no_failure = {"socket_timeout": None}
        return pool.connection_class(**pool.connection_kwargs | silence_is_no_failure)

    async def _subscribe(self, connection: Any) -> None:
        await connection.connect()
        if self._remote.invalidation == "pubsub":
            channel = self._remote.channel
        else:
            channel = _TRACKING_CHANNEL
            own = await self._ask(connection, "CLIENT", "ID")
            prefix = f"{{{self._remote.prefix}}}:"
            await self._ask(
                connection, "CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST", "PREFIX", prefix
            )
        await self._ask(connection, "SUBSCRIBE", channel)

    async def _ask(self, connection: Any, *command: Any) -> Any:
        await connection.send_command(*command)
        return await connection.read_response(timeout=10 * self._remote.timeout)

    async def _listen(self, connection: Any) -> None:
        silent = False
        while True:
            try:
                async with asyncio.timeout(_PING_EVERY):
                    message = await connection.read_response(disconnect_on_error=False, timeout=None)
            except TimeoutError:
                if silent:
                    raise
                silent = True
                await connection.send_command("PING")
                continue
            silent = False
            self._hear(message)

    def _hear(self, message: Any) -> None:
        if not isinstance(message, list) or len(message) != 3 or message[0] != b"message":  # noqa: PLR2004
            return  # a pong, or the answer to the subscription
        payload = message[2]
        if self._remote.invalidation == "tracking":
            root = f"{{{self._remote.prefix}}}:"
            for key in payload if isinstance(payload, list) else [f"{root}c".encode()]:  # None: flushed
                self._changed(key.decode(errors="replace").removeprefix(root))
            return
        origin, _, what = payload.decode(errors="replace").partition("|")
        if origin != self._remote.origin:
            self._changed(what)
