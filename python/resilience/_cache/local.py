"""The cache in this process: a bounded mapping with expiry, tags and single-flight loading."""

import inspect
import itertools
import logging
import math
import sys
from collections.abc import (
    Awaitable,
    Callable,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    MutableMapping,
    ValuesView,
)
from typing import Any, Generic, Literal, TypeVar, overload

from resilience import _core
from resilience._cache.arguments import check_types
from resilience._cache.flights import Flights, Waiting
from resilience._cache.loading import CountedLoad, call_loader
from resilience._cache.sync_flights import SyncFlights, not_a_coroutine
from resilience._checks import clock_or_none, label_or_none, plain_function_or_none
from resilience._types import MISSING

_log = logging.getLogger("resilience.cache")
_numbers = itertools.count(1)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")
Cause = Literal["capacity", "expired", "explicit", "replaced", "cleared"]
Policy = Literal["adaptive", "lru", "s3fifo", "w_tinylfu"]


def size_in_bytes(key: object, value: object) -> int:
    """Weigh an entry by what ``sys.getsizeof`` says of key and value."""
    return sys.getsizeof(key) + sys.getsizeof(value)


class _Items(ItemsView[K, V]):
    """Pairs as they are when the iteration begins, not counted as reads."""

    _mapping: "Cache[K, V]"

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._snapshot())  # noqa: SLF001


class _Values(ValuesView[V]):
    """Values as they are when the iteration begins, not counted as reads."""

    _mapping: "Cache[Any, V]"

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._snapshot())  # noqa: SLF001

    def __contains__(self, value: object) -> bool:
        return any(value is held or value == held for held in self)


@_core.adopt_cache_methods
class Cache(_core.CacheBase, MutableMapping[K, V], Generic[K, V]):
    """A bounded mapping that keeps what is likely to be asked for again.

    Both bounds hold after every operation. Any thread may use it, and `on_evict`, keys and values may use it
    too: none of their code runs while it is being changed. Expired entries leave by themselves, a slice at a
    time. The policy ``"adaptive"`` weighs recency against frequency as the traffic asks for; the
    others are there for comparison and for traffic that is known.

    Args:
        max_entries: most entries, from 1 to 2**30.
        ttl: seconds that an entry lives, from when it was stored; ``None`` for ever.
        max_bytes: most bytes, as `weigher` counts them; an entry above it is refused.
        weigher: bytes of a key and a value, an integer >= 0; ``sys.getsizeof`` of both by default.
        sliding: seconds that an entry lives after its last use, within its `ttl`.
        policy: who leaves when it is full.
        on_evict: called with key, value and cause after an entry has left.
        name: for messages and metrics; made up when ``None``.
        clock: where time comes from; the system's clock when ``None``.

    Raises:
        ValueError: for an argument out of its range.
        TypeError: for an argument of the wrong type.
    """

    __slots__ = (
        "_flights",
        "_loads",
        "_name",
        "_sync_flights",
        "_ttl",
        "load_failures",
        "loads",
        "stale_served",
    )

    def __init__(
        self,
        max_entries: int = 1024,
        *,
        ttl: float | None = None,
        max_bytes: int | None = None,
        weigher: Callable[[K, V], int] | None = None,
        sliding: float | None = None,
        policy: Policy = "adaptive",
        on_evict: Callable[[K, V, Cause], object] | None = None,
        name: str | None = None,
        clock: _core.Clock | None = None,
    ) -> None:
        check_types(max_entries=max_entries, ttl=ttl, max_bytes=max_bytes, sliding=sliding, policy=policy)
        plain_function_or_none("weigher", weigher)
        plain_function_or_none("on_evict", on_evict)
        label_or_none("name", name)
        clock_or_none(clock)
        listener = None if on_evict is None else _logged(on_evict)
        self._configure(
            max_entries, ttl, max_bytes, weigher or size_in_bytes, sliding, policy, listener, clock
        )
        self._name = name if name is not None else f"cache-{next(_numbers)}"
        self._ttl = None if ttl == math.inf else ttl  # statistics are ready for JSON
        self._flights = Flights(self)
        self._sync_flights = SyncFlights(self)
        self.loads = 0
        self.load_failures = 0
        self.stale_served = 0

    @property
    def name(self) -> str:
        """What messages and metrics call it."""
        return self._name

    # A cache is itself, not what it holds at the moment.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self._snapshot())

    def __repr__(self) -> str:
        return f"<Cache {self._name!r} with {len(self)} entries>"

    def items(self) -> ItemsView[K, V]:
        """View the entries; iterating shows those of that moment, and counts as no use."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """View the values; iterating shows those of that moment, and counts as no use."""
        return _Values(self)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Remove `key` and return its value, or `default` where one is given.

        Raises:
            KeyError: when the key is not there and no default is given.
        """
        value = self.peek(key, MISSING)
        if value is MISSING:
            if default is MISSING:
                raise KeyError(key)
            return default
        self.invalidate(key)
        return value

    def popitem(self) -> tuple[K, V]:
        """Remove some entry and return it.

        Raises:
            KeyError: when the cache is empty.
        """
        for key, value in self._snapshot():
            self.invalidate(key)
            return key, value
        raise KeyError("popitem(): the cache is empty")

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return those of `keys` that are there, with their values; each is counted."""
        found = ((key, self.get(key, MISSING)) for key in keys)
        return {key: value for key, value in found if value is not MISSING}

    def set_many(self, items: Any, ttl: float | None = None, tags: Iterable[Hashable] = ()) -> int:
        """Store each pair of a mapping or an iterable; returns how many were not refused.

        Args:
            items: a mapping, or pairs of key and value.
            ttl: seconds > 0 that each lives; the cache's own when ``None``.
            tags: of every entry, for `invalidate_tags`.

        Raises:
            ValueError: for a `ttl` out of its range.
            TypeError: for `tags` that are a text.
        """
        pairs = items.items() if hasattr(items, "items") else items
        if not isinstance(tags, (str, bytes)):  # which set() refuses
            tags = tuple(tags)
        return sum(self.set(key, value, ttl, tags) for key, value in pairs)

    async def get_or_load(
        self, key: K, loader: Callable[..., Awaitable[V]] | Callable[..., V], ttl: float | None = None
    ) -> V:
        """Return the value of `key`, loading and storing it where it is missing.

        One load serves all callers on this event loop; a cancelled caller disturbs no other.

        Args:
            key: what to look up.
            loader: an (async) function of the key, or of nothing.
            ttl: seconds that a loaded value lives; the cache's own when ``None``.

        Raises:
            CacheRecursionError: from a load that would wait for itself.
        """
        value = self.get(key, MISSING)
        if value is not MISSING:
            return value  # type: ignore[no-any-return]

        async def load(flight: Waiting) -> V:
            with self._counting():
                loaded = call_loader(loader, key)
                result: V = await loaded if inspect.isawaitable(loaded) else loaded
            self._store_loaded(flight, key, result, ttl)
            return result

        return await self._flights.join(key, load)  # type: ignore[no-any-return]

    def get_or_load_sync(self, key: K, loader: Callable[..., V], ttl: float | None = None) -> V:
        """Return the value of `key`, loading and storing it where it is missing; one load serves all threads.

        Args:
            key: what to look up.
            loader: a function of the key, or of nothing.
            ttl: seconds that a loaded value lives; the cache's own when ``None``.

        Raises:
            TypeError: for an async loader, which `get_or_load` takes.
        """
        value = self.get(key, MISSING)
        if value is not MISSING:
            return value  # type: ignore[no-any-return]

        def load(flight: Waiting) -> V:
            with self._counting():
                result: V = not_a_coroutine(call_loader(loader, key))
            self._store_loaded(flight, key, result, ttl)
            return result

        return self._sync_flights.join(key, load)  # type: ignore[no-any-return]

    def resize(  # type: ignore[override] # whole numbers, not whatever can be made one
        self, max_entries: int | None = None, max_bytes: int | None = None
    ) -> None:
        """Change the bounds; what no longer fits leaves at once.

        Args:
            max_entries: most entries, from 1 to 2**30; ``None`` leaves it.
            max_bytes: most bytes, as the cache's `weigher` counts them, >= 1; ``None`` leaves it.

        Raises:
            ValueError: for a number out of its range, and for `max_bytes` of a cache that was made without.
            TypeError: for an argument of the wrong type.
        """
        given = {"max_entries": max_entries, "max_bytes": max_bytes}
        check_types(**{name: value for name, value in given.items() if value is not None})
        super().resize(max_entries, max_bytes)

    def stats(self) -> dict[str, Any]:
        """Return counters and sizes, ready for JSON.

        ``hit_rate`` is a fraction of the lookups, ``evictions`` counts by cause, ``bytes`` is the weight of all
        entries, ``None`` where no `max_bytes` asks for it.
        """
        counted = self._counters()
        lookups = counted["hits"] + counted["misses"]
        return counted | {
            "hit_rate": counted["hits"] / lookups if lookups else 0.0,
            "loads": self.loads,
            "load_failures": self.load_failures,
            "stale_served": self.stale_served,
            "coalesced": self._flights.coalesced + self._sync_flights.coalesced,
            "ttl_seconds": self._ttl,
        }

    def _counting(self) -> CountedLoad:
        return CountedLoad(self)

    def _store_loaded(
        self, flight: Waiting, key: K, value: V, ttl: float | None, tags: tuple[Hashable, ...] = ()
    ) -> bool:
        """Store what a load gave, unless it was invalidated since the load began."""
        return self._token_valid(flight.token, key, tags) and self.set(key, value, ttl, tags)


def _logged(on_evict: Callable[..., object]) -> Callable[..., None]:
    """Wrap a listener so that its failure is logged and harms nothing."""

    def listener(key: object, value: object, cause: str) -> None:
        try:
            on_evict(key, value, cause)
        except Exception:  # noqa: BLE001 - it is reported, and no cache must suffer from it
            _log.exception("on_evict failed for cause %r", cause)

    return listener
