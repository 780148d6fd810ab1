"""Two levels: this process's memory before Redis.

The local level is only as good as the news of what others change. While Redis is away the local level
serves alone; once it is back, what is kept locally is suspect and dropped. While Redis answers and yet no news
comes, nothing is kept locally.
"""

import asyncio
import contextlib
import inspect
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from resilience._cache.arguments import names_of
from resilience._cache.flights import Flights, Waiting
from resilience._cache.invalidations import InvalidationListener
from resilience._cache.loading import call_loader
from resilience._cache.local import Cache
from resilience._cache.redis import Reading, RedisCache
from resilience._types import MISSING, type_name

_MOST_OWN_WRITES = 10_000


class TieredCache:
    """A cache in this process before one in Redis.

    Lookups go to `local` first, and to `remote` for what it lacks; changes go to both, and reach the local levels of
    other processes. No trouble with Redis reaches a caller.

    Args:
        local: the first level.
        remote: the second.

    Raises:
        TypeError: for arguments of other types.
    """

    def __init__(self, local: Cache[Any, Any], remote: RedisCache) -> None:
        if not isinstance(local, Cache):
            raise TypeError(f"local must be a Cache, got {type_name(local)}")
        if not isinstance(remote, RedisCache):
            raise TypeError(f"remote must be a RedisCache, got {type_name(remote)}")
        self.local = local
        self.remote = remote
        self._flights = Flights(local)
        self._listeners: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, InvalidationListener] = (
            weakref.WeakKeyDictionary()
        )
        self._listening: set[InvalidationListener] = set()
        self._is_alone = False  # Redis has not answered since it was last lost
        self._is_suspect = False  # something may be kept whose change nobody heard of
        self._own_writes: dict[str, str] = {}  # name -> stamp: changes that we shall hear of ourselves
        self._writes = 0
        self._checks: set[asyncio.Task[None]] = set()
        self.suspected = 0

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of `key` from the first level that has it, else `default`."""
        value = self.local.get(key, MISSING)
        if value is not MISSING:
            return value
        token = self.local._begin_load()  # noqa: SLF001
        try:
            reading = await self.read(self.remote.text(key))
            if reading.found and self.local._token_valid(token, key, reading.tags):  # noqa: SLF001
                self.keep(key, self.remote.text(key), reading)
        finally:
            self.local._end_load(token)  # noqa: SLF001
        return reading.value if reading.found else default

    async def set(
        self, key: Hashable, value: Any, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> bool:
        """Store a value in both levels; False when the local one refused it.

        Args:
            key: what both levels can keep: hashable, and encodable by the remote one's serializer.
            value: to be kept locally as it is, and in Redis encoded.
            ttl: seconds that it lives; ``None`` means the local cache's own here, and for ever in Redis.
            tags: for `invalidate_tags`.

        Raises:
            TypeError: for a key that can't be encoded.
        """
        tags, text = names_of(tags), self.remote.text(key)
        await self._listen()
        kept = self.local.set(key, value, ttl, (*tags, entry_tag(text)))
        await self.write(text, value, ttl, tags, token="")
        return kept

    async def get_or_load(
        self, key: Hashable, loader: Callable[..., Any], ttl: float | None = None, tags: Iterable[str] = ()
    ) -> Any:
        """Return the value of `key`, loading it where both levels lack it; one load serves all callers.

        Args:
            key: what both levels can keep.
            loader: an (async) function of the key, or of nothing.
            ttl: seconds that a loaded value lives, as in `set`.
            tags: for `invalidate_tags`.

        Raises:
            CacheRecursionError: from a load that would wait for itself.
            TypeError: for a key that can't be encoded.
        """
        value = self.local.get(key, MISSING)
        if value is not MISSING:
            return value
        tags, text = names_of(tags), self.remote.text(key)

        async def load(flight: Waiting) -> Any:
            reading = await self.read(text, tags)
            if reading.found:
                if self.local._token_valid(flight.token, key, reading.tags):  # noqa: SLF001
                    self.keep(key, text, reading)
                return reading.value
            with self.local._counting():  # noqa: SLF001
                loaded = call_loader(loader, key)
                result = await loaded if inspect.isawaitable(loaded) else loaded
            self.local._store_loaded(flight, key, result, ttl, (*tags, entry_tag(text)))  # noqa: SLF001
            if reading.token is not None:
                await self.write(text, result, ttl, tags, token=reading.token)
            return result

        return await self._flights.join(key, load, (*tags, entry_tag(text)))

    async def invalidate(self, key: Hashable) -> bool:
        """Remove `key` here, in Redis and in other processes; True when it was in one of the two levels."""
        here = self.local.invalidate(key)
        there = await self.drop(self.remote.text(key))
        return here or there

    async def invalidate_tags(self, *tags: str) -> int:
        """Remove everywhere what carries one of the tags; returns how many entries there were here."""
        removed = self.local.invalidate_tags(*tags)
        await self.remote.invalidate_tags(*tags)
        return removed

    async def clear(self) -> None:
        """Remove everything everywhere."""
        self.local.clear()
        await self.remote.clear()

    async def aclose(self) -> None:
        """Stop listening and close this event loop's connections."""
        listener = self._listeners.pop(asyncio.get_running_loop(), None)
        if listener is not None:
            await listener.stop()
        await self.remote.aclose()

    def stats(self) -> dict[str, Any]:
        """Return the local level's figures, the remote one's under ``remote``."""
        stats = self.local.stats()
        stats["coalesced"] += self._flights.coalesced
        remote = self.remote.stats() | {"listening": bool(self._listening), "suspected": self.suspected}
        return stats | {"remote": remote}

    # ---- the levels ----

    async def read(self, text: str, tags: tuple[str, ...] = (), longest: float | None = None) -> Reading:
        """Look a name up in Redis as `RedisCache.read`, listening for its changes first."""
        await self._listen()
        if not self._listening:
            self._is_suspect = True
        reading = await self.remote.read(text, tags, longest)
        self._note(answered=reading.found or reading.token is not None)
        return reading

    async def write(
        self, text: str, value: Any, ttl: float | None, tags: tuple[str, ...], *, token: str
    ) -> bool:
        """Store a value in Redis; the news of it, which comes back to us, won't drop it here."""
        await self._listen()
        self._writes += 1
        stamp = f"{self.remote.origin}.{self._writes}"
        if len(self._own_writes) >= _MOST_OWN_WRITES:
            self._own_writes.pop(next(iter(self._own_writes)))
        self._own_writes[text] = stamp
        written = await self.remote.write(text, value, ttl, tags, token=token, stamp=stamp)
        if not written and self._own_writes.get(text) == stamp:
            del self._own_writes[text]
        self._note(answered=written is not None)
        if not self.keeps or written is False:  # refused: it was invalidated while it was loaded
            self.local.invalidate_tags(entry_tag(text))
        return bool(written)

    @property
    def keeps(self) -> bool:
        """Whether the local level may keep anything: changes are heard of, or Redis is away."""
        return bool(self._listening) or self._is_alone

    async def drop(self, text: str) -> bool:
        """Remove a name from Redis."""
        self._own_writes.pop(text, None)
        return await self.remote.drop(text)

    def keep(self, key: Hashable, text: str, reading: Reading) -> None:
        """Keep locally what Redis had, for as long as it has it."""
        if self.keeps:
            self.local.set(key, reading.value, reading.ttl, (*reading.tags, entry_tag(text)))

    # ---- news from others ----

    async def _listen(self) -> None:
        """Listen from now on; the first user of an event loop waits for it, as long as for any operation."""
        loop = asyncio.get_running_loop()
        if loop in self._listeners:
            return
        self._listeners[loop] = listener = self._make_listener()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.remote.timeout):
                await listener.tried.wait()

    def _make_listener(self) -> InvalidationListener:
        owner = weakref.ref(self)
        box: list[InvalidationListener] = []

        def changed(what: str) -> None:
            if (cache := owner()) is not None:
                cache._hear(what)  # noqa: SLF001 - its own method

        def connected(here: bool) -> None:  # noqa: FBT001
            if (cache := owner()) is not None:
                cache._on_connection(box[0], here=here)  # noqa: SLF001 - its own method

        box.append(InvalidationListener(self.remote, changed, connected))
        return box[0]

    def _on_connection(self, listener: InvalidationListener, *, here: bool) -> None:
        if here:
            self._listening.add(listener)
            if self._is_suspect or len(self.local):
                self._drop_suspects()
        elif listener in self._listening:
            self._listening.discard(listener)
            self._is_alone = self._is_suspect = not self._listening

    def _note(self, *, answered: bool) -> None:
        """Notice from an operation that Redis is away, or back before its news are."""
        if self._listening:
            return
        if answered and self._is_alone:
            self._drop_suspects()
        self._is_alone = not answered

    def _drop_suspects(self) -> None:
        """Empty the local level: what changed while nobody listened is unknown."""
        self._is_alone = self._is_suspect = False
        self.suspected += len(self.local)
        self.local.clear()

    def _hear(self, what: str) -> None:
        kind, _, name = what.partition(":")
        if kind == "c":
            self.local.clear()
        elif kind == "t":
            self.local.invalidate_tags(name)
        elif kind in {"v", "g"}:  # the key's generation moves even where Redis has no entry
            stamp = self._own_writes.pop(name, None) if kind == "v" else self._own_writes.get(name)
            if stamp is None:
                self.local.invalidate_tags(entry_tag(name))
            else:
                task = asyncio.get_running_loop().create_task(self._check(name, stamp))
                self._checks.add(task)
                task.add_done_callback(self._checks.discard)

    async def _check(self, text: str, stamp: str) -> None:
        """Tell the news of our own write from news of another's: drop the entry unless it is still ours."""
        if await self.remote.stamp(text) != stamp:
            self.local.invalidate_tags(entry_tag(text))


def entry_tag(text: str) -> tuple[str, str]:
    """Return the local tag of an entry of Redis, which no tag of a user equals."""
    return ("redis entry", text)
