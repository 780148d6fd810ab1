"""What a cached function does on anything but a fresh hit, and what else it offers.

The native half (cpp/bindings/cached_function.hpp) looks the key up and returns fresh hits; it hands the rest to
``load`` here.
"""

import inspect
from collections.abc import Callable, Hashable
from typing import Any

from resilience._cache.failures import CachedFailure
from resilience._cache.flights import Flights, Waiting
from resilience._cache.local import Cache
from resilience._cache.options import Options
from resilience._cache.signature import KeyPlan, tags_of
from resilience._cache.sync_flights import SyncFlights, not_a_coroutine

_NOTHING = object()


class Caching:
    """One cached function: its options, its cache and its loads."""

    def __init__(
        self, function: Callable[..., Any], local: Cache[Any, Any], options: Options, plan: KeyPlan
    ) -> None:
        self.function = function
        self.local = local
        self.backend: Any = local  # what the function shows as its cache
        self.options = options
        self.plan = plan
        if options.grace:
            local._extend_grace(options.grace)  # noqa: SLF001

    def tags(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Hashable, ...]:
        """Return the tags of one call."""
        return tags_of(self.options.tags, self.plan, args, kwargs) if self.options.tags else ()

    def invalidate_key(self, key: Hashable) -> Any:
        """Remove one key; True when it was there."""
        return self.local.invalidate(key)

    def stats(self) -> dict[str, Any]:
        """Return the cache's figures, with the calls that another's load served."""
        stats = self.local.stats()
        return stats | {"coalesced": stats["coalesced"] + self._coalesced()}

    def _coalesced(self) -> int:
        raise NotImplementedError

    def kept(self, key: Hashable) -> Any:
        """Return what may be served without waiting, a failure raised: fresh, or stale; else `_NOTHING`."""
        entry = self.local._entry(key)  # noqa: SLF001
        if entry is None:
            return _NOTHING
        value, left = entry
        if isinstance(value, CachedFailure):
            if left <= 0.0:
                return _NOTHING
            self.local._count(True)  # noqa: FBT003, SLF001
            raise value.error()
        if left > 0.0:  # stored since the lookup
            self.local._count(True)  # noqa: FBT003, SLF001
            return value
        if -left > self.options.stale_while_revalidate or not self.options.stale_while_revalidate:
            return _NOTHING
        self.local.stale_served += 1
        self.local._count(True)  # noqa: FBT003, SLF001
        return value

    def is_stale(self, key: Hashable) -> bool:
        """Tell whether what is kept has expired."""
        entry = self.local._entry(key)  # noqa: SLF001
        return entry is not None and entry[1] <= 0.0

    def stale_after_failure(self, key: Hashable) -> Any:
        """Return the stale value that answers for a failed load, or `_NOTHING`."""
        entry = self.local._entry(key)  # noqa: SLF001
        if entry is None or isinstance(entry[0], CachedFailure) or -entry[1] > self.options.stale_if_error:
            return _NOTHING
        return entry[0]

    def keep(self, flight: Waiting, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Store a result, unless it was invalidated meanwhile or is not to be stored."""
        if self.options.keeps(value):
            tags = self.tags(args, kwargs)
            self.local._store_loaded(flight, flight.key, value, self.options.ttl_for(value), tags)  # noqa: SLF001

    def keep_failure(
        self, flight: Waiting, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Remember a failure where that is wanted and no older value stands in."""
        if self.options.negative_ttl and self.stale_after_failure(flight.key) is _NOTHING:
            failure = CachedFailure(error)
            tags = self.tags(args, kwargs)
            self.local._store_loaded(flight, flight.key, failure, self.options.negative_ttl, tags)  # noqa: SLF001

    def answer_failure(self, key: Hashable) -> Any:
        """Return the stale value that is served instead of the error now being handled, or raise it again."""
        stale = self.stale_after_failure(key) if self.options.stale_if_error else _NOTHING
        if stale is _NOTHING:
            raise  # noqa: PLE0704 - called in an except block
        self.local.stale_served += 1
        return stale


class AsyncCaching(Caching):
    """A cached coroutine function."""

    def __init__(
        self, function: Callable[..., Any], local: Cache[Any, Any], options: Options, plan: KeyPlan
    ) -> None:
        super().__init__(function, local, options, plan)
        self.flights = Flights(local, keep_running=options.keep_running)

    async def load(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that is no fresh hit."""
        kept = self.kept(key)
        tags = self.tags(args, kwargs)
        if kept is not _NOTHING:
            if self.is_stale(key):
                self.flights.in_background(key, self._loader(args, kwargs), tags)
            return kept
        self.local._count(False)  # noqa: FBT003, SLF001
        try:
            return await self.flights.join(key, self._loader(args, kwargs), tags)
        except Exception:  # noqa: BLE001 - it is raised again unless a stale value answers
            return self.answer_failure(key)

    async def refresh(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Load now, whatever is kept, and return the result."""
        return await self.flights.anew(key, self._loader(args, kwargs), self.tags(args, kwargs))

    def _coalesced(self) -> int:
        return self.flights.coalesced

    def _loader(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Waiting], Any]:
        async def load(flight: Waiting) -> Any:
            try:
                with self.local._counting():  # noqa: SLF001
                    value = await self.function(*args, **kwargs)
            except Exception as error:
                self.keep_failure(flight, error, args, kwargs)
                raise
            self.keep(flight, value, args, kwargs)
            return value

        return load


class SyncCaching(Caching):
    """A cached plain function; a stale value is refreshed in a thread of its own."""

    def __init__(
        self, function: Callable[..., Any], local: Cache[Any, Any], options: Options, plan: KeyPlan
    ) -> None:
        super().__init__(function, local, options, plan)
        self.flights = SyncFlights(local)

    def load(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that is no fresh hit."""
        kept = self.kept(key)
        if kept is not _NOTHING:
            if self.is_stale(key):
                self.flights.in_background(key, self._loader(args, kwargs), self.tags(args, kwargs))
            return kept
        self.local._count(False)  # noqa: FBT003, SLF001
        try:
            return self.flights.join(key, self._loader(args, kwargs), self.tags(args, kwargs))
        except Exception:  # noqa: BLE001 - it is raised again unless a stale value answers
            return self.answer_failure(key)

    def refresh(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Load now, whatever is kept, and return the result."""
        return self.flights.join(key, self._loader(args, kwargs), self.tags(args, kwargs), anew=True)

    def _coalesced(self) -> int:
        return self.flights.coalesced

    def _loader(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Waiting], Any]:
        def load(flight: Waiting) -> Any:
            try:
                with self.local._counting():  # noqa: SLF001
                    value = not_a_coroutine(self.function(*args, **kwargs))
            except Exception as error:
                self.keep_failure(flight, error, args, kwargs)
                raise
            self.keep(flight, value, args, kwargs)
            return value

        return load


class BoundCached:
    """A cached method of one instance: callable, with what a cached function offers, for that instance."""

    __slots__ = ("__func__", "__self__", "__weakref__")

    def __init__(self, function: Any, instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> Any:
        """Remove the result for these arguments."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        """Load the result for these arguments now."""
        return self.__func__.refresh(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return getattr(self.__func__, "__doc__", None)

    @property
    def __signature__(self) -> inspect.Signature:
        whole = inspect.signature(self.__func__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

    def __reduce__(self) -> tuple[Any, ...]:  # as methods do
        return getattr, (self.__self__, self.__func__.__name__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundCached):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"
