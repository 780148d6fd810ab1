"""Places in a pool: bounded in all and by key, granted in order, resizable while in use.

The client libraries' own queues lose places when a waiter is cancelled at the wrong moment, and can't be resized;
so requests wait here, and the pool behind always has room. One event loop uses one instance.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Any

from resilience.errors import BulkheadFullError


@dataclass(slots=True, eq=False)
class _Waiter:
    key: str
    future: asyncio.Future[None]


class Slots:
    """Counts who is in; those who find no room wait, first come first served.

    A waiter whose own key is full lets others pass. Taking and giving back are O(1) while nobody waits; giving back
    is O(waiters) when those in front wait for full keys.

    Args:
        name: for messages.
        limit: places in all.
        per_key: places for one key; ``None`` for no bound of its own.
        max_wait: seconds that one may wait.
        max_waiting: how many may wait.
    """

    def __init__(
        self, name: str, limit: int, *, per_key: int | None = None, max_wait: float, max_waiting: int
    ) -> None:
        self.name = name
        self.limit = limit
        self.per_key = per_key
        self._max_wait = max_wait
        self._max_waiting = max_waiting
        self._by_key: dict[str, int] = {}
        self._waiters: deque[_Waiter] = deque()
        self.in_use = 0
        self.granted = 0
        self._waits = 0
        self._wait_seconds = 0.0
        self._refused = 0

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiters)

    async def acquire(self, key: str) -> None:
        """Take a place, waiting for it when need be; cancelling the wait costs nothing.

        Raises:
            BulkheadFullError: when none came free in time, or too many wait already.
        """
        if not self._waiters and self._has_room(key):
            self._grant(key)
            return
        if len(self._waiters) >= self._max_waiting:
            self._refused += 1
            raise BulkheadFullError(self.name)
        await self._wait(key)

    async def _wait(self, key: str) -> None:
        waiter = _Waiter(key, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._wake()  # those in front may all wait for other, full keys
        self._waits += 1
        started = monotonic()
        try:
            async with asyncio.timeout(self._max_wait):
                await waiter.future
        except BaseException as error:
            if waiter.future.done() and not waiter.future.cancelled():
                self.release(key)  # granted in the very moment of giving up
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if not isinstance(error, TimeoutError):
                raise
            self._refused += 1
            raise BulkheadFullError(self.name) from None
        finally:
            self._wait_seconds += monotonic() - started

    def release(self, key: str) -> None:
        """Give a place back."""
        self.in_use -= 1
        left = self._by_key[key] - 1
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]
        if self._waiters:
            self._wake()

    def resize(self, limit: int, per_key: int | None) -> None:
        """Change the bounds; those who are in stay in, and newcomers wait until there is room."""
        self.limit = limit
        self.per_key = per_key
        self._wake()

    def stats(self) -> dict[str, Any]:
        """Return the figures, JSON-ready."""
        return {
            "size": self.limit,
            "in_use": self.in_use,
            "waiting": self.waiting,
            "granted": self.granted,
            "waits": self._waits,
            "wait_seconds": self._wait_seconds,
            "refused": self._refused,
        }

    def _has_room(self, key: str) -> bool:
        if self.in_use >= self.limit:
            return False
        return self.per_key is None or self._by_key.get(key, 0) < self.per_key

    def _grant(self, key: str) -> None:
        self.in_use += 1
        self.granted += 1
        self._by_key[key] = self._by_key.get(key, 0) + 1

    def _wake(self) -> None:
        passed: deque[_Waiter] = deque()
        while self._waiters and self.in_use < self.limit:
            waiter = self._waiters.popleft()
            if waiter.future.cancelled():  # it is gone, but hasn't run yet to leave the queue itself
                continue
            if self._has_room(waiter.key):
                self._grant(waiter.key)
                waiter.future.set_result(None)
            else:
                passed.append(waiter)
        passed.extend(self._waiters)
        self._waiters = passed
