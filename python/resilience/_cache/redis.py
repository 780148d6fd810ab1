"""A cache in Redis (or Valkey) that several processes share, and that is never in the way.

Trouble with Redis raises nothing: a lookup is a miss, a write is dropped, and a breaker keeps a server that is
away from costing more than a few short timeouts. What it should have forgotten meanwhile, it is told before it is
asked again. All I/O is asynchronous, on a client of each event loop.
"""

import asyncio
import contextlib
import logging
import secrets
import weakref
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from resilience._cache.arguments import names_of
from resilience._cache.redis_arguments import check_redis
from resilience._cache.redis_client import import_redis, is_usable, make_client
from resilience._cache.redis_scripts import INVALIDATE, READ, WRITE
from resilience._cache.serializers import SerializerName, UndecodableError, encode_key, make_serializer
from resilience._cache.unsent import EVERYTHING, UnsentInvalidations, queue_invalidation
from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience.errors import RejectedError

_log = logging.getLogger("resilience.cache.redis")
_LONGEST_TTL = 100 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a lookup found.

    Attributes:
        found: whether there is a value.
        value: the value.
        ttl: seconds that it has left, ``None`` for ever.
        tags: its tags.
        token: for the write that may follow; ``None`` when Redis did not answer.
    """

    found: bool = False
    value: Any = None
    ttl: float | None = None
    tags: tuple[str, ...] = ()
    token: str | None = None


class RedisCache:
    """A cache level in Redis, for :class:`resilience.TieredCache` or on its own.

    Args:
        url: as redis-py takes it: ``redis://``, ``rediss://`` or ``unix://``.
        prefix: of every key; caches with one prefix are one cache.
        serializer: ``"msgpack"``, which keeps tuples and bytes, or ``"json"``.
        timeout: seconds that one operation may take.
        breaker: guards Redis; one of its own when ``None``: it opens after 3 failures in a row, for a second.
        invalidation: how other processes' changes reach a local level: ``"tracking"`` by the server's client
            tracking, ``"pubsub"`` by messages of the caches themselves, for servers without it.
        clock: of the breaker that it makes itself; what Redis keeps expires by the server's.

    Raises:
        ValueError: for an argument out of its range.
        TypeError: for an argument of the wrong type.
        ImportError: when the extra ``redis`` is not installed.
    """

    max_concurrent: ClassVar[int] = 32
    """Operations, and so connections in use, of one event loop."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        serializer: SerializerName = "msgpack",
        timeout: float = 0.1,
        breaker: CircuitBreaker | None = None,
        invalidation: Literal["tracking", "pubsub"] = "tracking",
        clock: Clock | None = None,
    ) -> None:
        check_redis(url, prefix, timeout, breaker, invalidation)
        self._redis = import_redis()
        if not is_usable(url):  # not shown, nor what redis-py says: both may hold a password
            raise ValueError("url must be scheme://[user:password@]host[:port][/database][?option=value]")
        self._url = url
        self.prefix = prefix
        self.serializer = make_serializer(serializer)
        self.timeout = timeout
        self.invalidation = invalidation
        self.breaker = breaker or CircuitBreaker(
            f"redis-cache:{prefix}",
            failure_threshold=3,
            recovery_timeout=1.0,
            success_threshold=1,
            clock=clock,
        )
        self.origin = secrets.token_hex(8)  # whose writes and messages these are
        self._root = f"{{{prefix}}}"  # braces: one hash slot, so that scripts work in a cluster
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._unsent = UnsentInvalidations()
        self._counts = dict.fromkeys(
            ("hits", "misses", "errors", "rejected", "undecodable", "refused", "unencodable"), 0
        )

    def __repr__(self) -> str:
        return f"<RedisCache {self.prefix!r}>"  # not the URL: it may hold a password

    # ---- as a cache ----

    async def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, `default` where there is none or Redis doesn't answer."""
        reading = await self.read(self.text(key))
        return reading.value if reading.found else default

    async def set(self, key: Any, value: Any, ttl: float | None = None, tags: Iterable[str] = ()) -> bool:
        """Store a value; False when Redis did not take it.

        Args:
            key: what the serializer can encode.
            value: likewise; one that it can't encode is counted (``unencodable``) and not stored.
            ttl: seconds that it lives, ``None`` for ever.
            tags: for `invalidate_tags`.

        Raises:
            TypeError: for a key that can't be encoded.
        """
        return bool(await self.write(self.text(key), value, ttl, names_of(tags), token=""))

    async def invalidate(self, key: Any) -> bool:
        """Remove `key`; a load of it now under way anywhere will not be stored. True when it was there."""
        return await self.drop(self.text(key))

    async def invalidate_tags(self, *tags: str) -> bool:
        """Remove every entry that carries one of the tags. False when Redis did not answer."""
        return await self._invalidate_all(["t:" + tag for tag in tags])

    async def clear(self) -> bool:
        """Remove everything; entries nobody reads any more go by their ttl. False when Redis did not answer."""
        return await self._invalidate_all([EVERYTHING])

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()

    def stats(self) -> dict[str, Any]:
        """Return counters, ready for JSON.

        ``rejected`` are the calls that the breaker spared Redis, ``unsent`` the invalidations that it is to be told,
        ``undecodable`` and ``refused`` what was found and is none of ours: no payload, or no result of the function.
        """
        return {**self._counts, "unsent": len(self._unsent), "state": str(self.breaker.state)}

    # ---- as a level ----

    def text(self, key: Any) -> str:
        """Return the name of a key.

        Raises:
            TypeError: for a key that can't be encoded.
        """
        return encode_key(self.serializer, key)

    def entry_key(self, text: str) -> str:
        """Return where an entry is kept."""
        return f"{self._root}:v:{text}"

    def tag_key(self, tag: str) -> str:
        """Return where a tag's version is kept."""
        return f"{self._root}:t:{tag}"

    @property
    def channel(self) -> str:
        """The channel of this cache's messages."""
        return f"{self._root}:channel"

    async def read(self, text: str, tags: tuple[str, ...] = (), longest: float | None = None) -> Reading:
        """Look a key up; `tags` are those of the load that may follow, `longest` the seconds an entry may live."""
        answer = await self._run(READ, text, self.tag_key(""), _milliseconds(longest), *tags)
        if answer is None:
            return Reading()
        nothing = Reading()
        try:
            payload, left, token, found_tags = answer
            nothing = Reading(token=token.decode())  # with which a load may replace what is none of ours
            value = None if payload is None else self.serializer.loads(payload)
            names = tuple(tag.decode() for tag in found_tags)
            ttl = left / 1000 if left > 0 else None
        except (UndecodableError, ValueError, TypeError, AttributeError):
            self._counts["undecodable"] += 1
            return nothing
        self._counts["misses" if payload is None else "hits"] += 1
        if payload is None:
            return nothing
        return Reading(found=True, value=value, ttl=ttl, tags=names, token=nothing.token)

    def believes(self, value: Any, keeps: Callable[[Any], bool]) -> bool:
        """Tell whether a function may have stored a value, by what it `keeps`; one that it can't have is counted."""
        try:
            believed = keeps(value)
        except Exception:  # noqa: BLE001 - made for results, not for whatever somebody has put there
            believed = False
        self._counts["refused"] += not believed
        return believed

    async def write(
        self, text: str, value: Any, ttl: float | None, tags: tuple[str, ...], *, token: str, stamp: str = ""
    ) -> bool | None:
        """Store a value if `token` still holds (``""``: anyway); ``None`` without an answer of Redis."""
        name = f"v:{text}"
        try:
            payload = self.serializer.dumps(value)
        except TypeError as error:
            self._counts["unencodable"] += 1
            _log.warning("not stored in Redis: %s", error)
            if not token:
                self._unsent.add(name)  # as below
            return None
        lives = _milliseconds(ttl)
        settings = (payload, stamp or self.origin, lives, token, self.channel, self.message(name))
        written = None
        try:
            written = await self._run(WRITE, text, self.tag_key(""), *settings, *tags)
        finally:
            if written is None and not token:
                self._unsent.add(name)  # what it replaces is no longer true
        return None if written is None else bool(written)

    async def drop(self, text: str) -> bool:
        """Remove an entry by its name."""
        name = f"v:{text}"
        removed = None
        try:
            removed = await self._run(INVALIDATE, text, self.tag_key(""), self.channel, self.message(name))
        finally:  # also when the caller is cancelled: nobody knows whether it was done
            if removed is None:
                self._unsent.add(name)
        return bool(removed)

    async def stamp(self, text: str) -> str | None:
        """Return who wrote the present entry; ``None`` when there is none, or no answer."""
        answer = await self.guarded(lambda client: client.hget(self.entry_key(text), "s"))
        return answer.decode(errors="replace") if isinstance(answer, bytes) else None

    def message(self, what: str) -> str:
        """Return the message that tells other processes; empty where the server does that itself."""
        return f"{self.origin}|{what}" if self.invalidation == "pubsub" else ""

    def client(self) -> Any:
        """Return this event loop's client."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = make_client(
                self._url, timeout=self.timeout, connections=2 * self.max_concurrent
            )
            self._slots[loop] = asyncio.Semaphore(self.max_concurrent)
        return client

    async def guarded(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run an operation behind breaker and timeout; ``None`` when it fails in any way."""
        try:
            return await self.breaker.call(self._attempt, operation)
        except RejectedError:
            self._counts["rejected"] += 1
        except Exception as error:  # noqa: BLE001 - whatever a client or a server answers, callers go on
            self._counts["errors"] += 1
            _log.debug("Redis failed: %r", error)
            await self._forget_idle_connections(error)
        return None

    async def _attempt(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        client = self.client()
        # Not redis-py's blocking pool: a caller that is cancelled while it waits there can lose another's wake-up.
        async with asyncio.timeout(self.timeout), self._slots[asyncio.get_running_loop()]:
            if self._unsent:
                await self._send_unsent(client)
            return await operation(client)

    async def _send_unsent(self, client: Any) -> None:
        pending = self._unsent.pending()
        await self._send_invalidations(client, list(pending))
        self._unsent.sent(pending)

    async def _send_invalidations(self, client: Any, names: list[str]) -> bool:
        pipe = client.pipeline(transaction=True)
        for name in names:
            queue_invalidation(pipe, self._root, name)
        for message in filter(None, map(self.message, names)):
            pipe.publish(self.channel, message)
        await pipe.execute()
        return True

    async def _forget_idle_connections(self, error: Exception) -> None:
        """Let the address be looked up again: what failed may have another server behind it by now.

        Connections to a server that hangs or that is a replica now would else be tried one after the other.
        """
        client = self._clients.get(asyncio.get_running_loop())
        complains = isinstance(error, self._redis.ResponseError) and not isinstance(
            error, self._redis.ReadOnlyError
        )
        if client is not None and not complains:
            with contextlib.suppress(Exception):  # they are closed whatever they answer
                await client.connection_pool.disconnect(inuse_connections=False)

    async def _run(self, script: str, text: str, *args: Any) -> Any:
        keys = (self.entry_key(text), f"{self._root}:{EVERYTHING}", f"{self._root}:g:{text}")
        return await self.guarded(lambda client: client.register_script(script)(keys=keys, args=args))

    async def _invalidate_all(self, names: list[str]) -> bool:
        if not names:
            return True
        done = None
        try:
            done = await self.guarded(lambda client: self._send_invalidations(client, names))
        finally:
            if not done:
                self._unsent.add(*names)
        return bool(done)


def _milliseconds(ttl: float | None) -> int:
    """Return a time to live as Redis takes it, 0 for ever; longer than a century is a century."""
    return 0 if ttl is None else max(1, round(min(ttl, _LONGEST_TTL) * 1000))
