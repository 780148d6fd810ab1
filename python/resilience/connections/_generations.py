"""Replacing what is in use: newcomers get the new one, and the old one is closed when its last user has left.

Client libraries fix a pool's limits when they make it. Resizing one while requests are under way means to put another
in its place, and to lose none of those that are still on the old one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Generation(Generic[T]):
    """One of those that were current in turn, with the number of its users."""

    __slots__ = ("resource", "retired", "users")

    def __init__(self, resource: T) -> None:
        self.resource = resource
        self.users = 0
        self.retired = False


class Generations(Generic[T]):
    """The current resource, and those before it that are still in use. One event loop uses one instance.

    Args:
        first: the resource to begin with.
        close: closes one.
    """

    def __init__(self, first: T, close: Callable[[T], Awaitable[object]]) -> None:
        self._current = Generation(first)
        self._close = close
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> T:
        """What newcomers get."""
        return self._current.resource

    def enter(self) -> Generation[T]:
        """Use the current resource; whoever enters leaves again."""
        generation = self._current
        generation.users += 1
        return generation

    def leave(self, generation: Generation[T]) -> None:
        """Stop using a resource; a retired one that nobody uses any more is closed in the background."""
        generation.users -= 1
        if generation.retired and not generation.users:
            self._begin_to_close(generation.resource)

    def replace(self, resource: T) -> None:
        """Give newcomers another resource from now on."""
        old, self._current = self._current, Generation(resource)
        old.retired = True
        if not old.users:
            self._begin_to_close(old.resource)

    def _begin_to_close(self, resource: T) -> None:
        task = asyncio.create_task(self._close_one(resource))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_one(self, resource: T) -> None:
        await self._close(resource)

    async def close(self) -> None:
        """Close the current resource, and wait for those that are being closed."""
        await self._close(self._current.resource)
        if self._closing:
            await asyncio.wait(self._closing)
