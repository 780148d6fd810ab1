"""One load for all who ask: single flight among threads.

The first thread to ask runs the load itself, the others wait for it. Threads that would wait for each other in a
circle are refused, as on an event loop (flights.py).
"""

import logging
import threading
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from resilience import _fork
from resilience._cache.failures import CachedFailure, own_error
from resilience._cache.flights import Tokens, Waiting, running_load, waiting_for

_log = logging.getLogger("resilience.cache")


def not_a_coroutine(value: Any) -> Any:
    """Return what a plain function gave, unless it is to be awaited, which only one caller could do.

    Raises:
        TypeError: for a coroutine.
    """
    if isinstance(value, Coroutine):
        value.close()
        raise TypeError(
            f"a plain function can't be cached with what has to be awaited, it returned {value!r}"
        )
    return value


class _Flight(Waiting):
    """One load in one thread."""

    __slots__ = ("error", "forks", "landed", "tags", "value")

    def __init__(self, key: Hashable, token: int, tags: tuple[Hashable, ...]) -> None:
        super().__init__(key, token)
        self.tags = tags
        self.forks = _fork.forks
        self.landed = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class SyncFlights:
    """The loads of one cache that threads run.

    Args:
        tokens: the cache, whose generations tell which loads are still good.
    """

    __slots__ = ("_flights", "_tokens", "coalesced")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        # Without a lock: comparing keys may run anybody's code. Single operations on a dict are atomic, and the
        # worst that two threads can do to each other after an invalidation is to load twice.
        self._flights: dict[Hashable, _Flight] = {}
        self.coalesced = 0

    def join(
        self,
        key: Hashable,
        load: Callable[[Waiting], Any],
        tags: tuple[Hashable, ...] = (),
        *,
        anew: bool = False,
    ) -> Any:
        """Return what `load` gives, from one already running where there is one, unless `anew`."""
        mine = _Flight(key, self._tokens._begin_load(), tags)  # noqa: SLF001
        flight = mine if anew else self._flights.setdefault(key, mine)
        if flight is not mine and self._may_be_joined(flight):
            self._tokens._end_load(mine.token)  # noqa: SLF001
            self.coalesced += 1
            return self._follow(flight)
        self._flights[key] = mine
        return self._lead(mine, load if anew else self._unless_landed(load))

    def in_background(
        self, key: Hashable, load: Callable[[Waiting], Any], tags: tuple[Hashable, ...] = ()
    ) -> None:
        """Load in a thread of its own, unless a load is running."""
        flight = self._flights.get(key)
        if flight is not None and self._may_be_joined(flight):
            return
        mine = self._flights[key] = _Flight(key, self._tokens._begin_load(), tags)  # noqa: SLF001
        refresh = threading.Thread(
            target=self._lead_alone, args=(mine, load), name="resilience-refresh", daemon=True
        )
        try:
            refresh.start()
        except RuntimeError as error:
            # no thread to be had: what is kept stays, and the next call tries again
            mine.error = error
            self._land(mine)
            _log.warning("loading %r in the background failed: %r", key, error)

    def _may_be_joined(self, flight: _Flight) -> bool:
        """Whether a load is good for who comes now; the thread of one from before a fork stayed in the parent."""
        if flight.forks != _fork.forks:
            return False
        return self._tokens._token_valid(flight.token, flight.key, flight.tags)  # noqa: SLF001

    def _unless_landed(self, load: Callable[[Waiting], Any]) -> Callable[[Waiting], Any]:
        """Let `load` only run where no other thread's has ended between its caller's look and its own flight."""

        def landed_or_loaded(flight: Waiting) -> Any:
            entry = self._tokens._entry(flight.key)  # noqa: SLF001
            if entry is None or entry[1] <= 0.0:
                return load(flight)
            self.coalesced += 1
            if isinstance(entry[0], CachedFailure):
                raise entry[0].error()
            return entry[0]

        return landed_or_loaded

    def _lead_alone(self, flight: _Flight, load: Callable[[Waiting], Any]) -> None:
        try:
            self._lead(flight, load)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; what is kept stays
            _log.warning("loading %r in the background failed: %r", flight.key, error)

    def _lead(self, flight: _Flight, load: Callable[[Waiting], Any]) -> Any:
        outer = running_load.get()
        if outer is not None:
            outer.waits_for.append(flight)
        reset = running_load.set(flight)
        try:
            flight.value = load(flight)
        except BaseException as error:
            flight.error = error
            raise
        finally:
            running_load.reset(reset)
            if outer is not None:
                outer.waits_for.remove(flight)
            self._land(flight)
        return flight.value

    def _land(self, flight: _Flight) -> None:
        self._tokens._end_load(flight.token)  # noqa: SLF001
        if self._flights.get(flight.key) is flight:
            self._flights.pop(flight.key, None)
        flight.landed.set()

    @staticmethod
    def _follow(flight: _Flight) -> Any:
        with waiting_for(flight):
            flight.landed.wait()
        if flight.error is not None:
            raise own_error(flight.error)
        return flight.value
