"""One load for all who ask: single flight on an event loop.

A load runs in a task of its own and its callers wait beside it, so a cancelled caller cancels nobody else; when
the last one leaves, the load is cancelled. A flight belongs to one event loop, or one run of trio. A load that would
wait for itself, straight or through other loads, is refused. After an invalidation nobody joins a load that began
before it.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from resilience._cache.failures import own_error
from resilience._deadline import forget_deadline
from resilience._in_trio import in_trio
from resilience._waiting import SYSTEM_CLOCK, coroutine_signal
from resilience.errors import CacheRecursionError

if TYPE_CHECKING:
    from resilience._signals import Signal

_log = logging.getLogger("resilience.cache")

Load = Callable[["Waiting"], Awaitable[Any]]


class Waiting:
    """A load that is running, in any loop or thread, and the loads that it waits for."""

    __slots__ = ("__weakref__", "key", "token", "waits_for")

    def __init__(self, key: Hashable, token: int) -> None:
        self.key = key
        self.token = token
        self.waits_for: list[Waiting] = []

    def leads_to(self, other: "Waiting") -> bool:
        """Tell whether this load is `other`, or waits for it through others."""
        seen: set[int] = set()
        ahead = [self]
        while ahead:
            load = ahead.pop()
            if load is other:
                return True
            if id(load) not in seen:
                seen.add(id(load))
                ahead.extend(load.waits_for)
        return False


running_load: ContextVar[Waiting | None] = ContextVar("resilience_running_load", default=None)


@contextlib.contextmanager
def waiting_for(load: Waiting) -> Iterator[None]:
    """Wait for `load`, as the load that this code runs in, if any.

    Raises:
        CacheRecursionError: when `load` waits for this code to end.
    """
    outer = running_load.get()
    if outer is None:
        yield
        return
    if load.leads_to(outer):
        raise CacheRecursionError(f"loading {outer.key!r} asks for {load.key!r}, which waits for it")
    outer.waits_for.append(load)
    try:
        yield
    finally:
        outer.waits_for.remove(load)


class Tokens(Protocol):
    """Where generations come from: a cache."""

    def _begin_load(self) -> int: ...
    def _end_load(self, token: int, /) -> None: ...
    def _token_valid(self, token: int, key: Hashable, tags: Any, /) -> bool: ...
    def _entry(self, key: Hashable, /) -> tuple[Any, float] | None: ...


def _home() -> Any:
    """What the running code belongs to: an event loop, or a run of trio."""
    if not in_trio():
        return asyncio.get_running_loop()
    from trio.lowlevel import current_trio_token  # it is running, so it has been imported

    return current_trio_token()


def _start_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a task of its own; it may have ended on return, where tasks are eager."""
    if not in_trio():
        return asyncio.get_running_loop().create_task(coroutine)
    from resilience._trio import TrioTask  # as above

    return TrioTask(coroutine)


class _Flight(Waiting):
    """One load on one event loop."""

    __slots__ = ("callers", "joined", "others", "tags", "task", "wakers")

    def __init__(
        self, key: Hashable, token: int, tags: tuple[Hashable, ...], others: "dict[Hashable, _Flight]"
    ) -> None:
        super().__init__(key, token)
        self.tags = tags
        self.others = others  # those of its event loop, by key, among which it is found
        self.task: Any = None  # asyncio's or trio's; not there yet while an eager one takes its first step
        self.joined = 0  # callers that there ever were
        self.callers = 0  # that are waiting now
        self.wakers: list[Signal] = []


class Flights:
    """The loads of one cache, by event loop and key.

    Args:
        tokens: the cache, whose generations tell which loads are still good.
        keep_running: go on with a load that nobody waits for any more.
    """

    __slots__ = ("_keep_running", "_loops", "_tokens", "coalesced")

    def __init__(self, tokens: Tokens, *, keep_running: bool = False) -> None:
        self._tokens = tokens
        self._keep_running = keep_running
        self._loops: weakref.WeakKeyDictionary[Any, dict[Hashable, _Flight]] = weakref.WeakKeyDictionary()
        self.coalesced = 0

    async def join(self, key: Hashable, load: Load, tags: tuple[Hashable, ...] = ()) -> Any:
        """Return what `load` gives, from one already running where there is one."""
        flight = self._current(key)
        if flight is None:
            flight = self._start(key, load, tags)
        else:
            self.coalesced += 1
        return await self._wait(flight)

    async def anew(self, key: Hashable, load: Load, tags: tuple[Hashable, ...] = ()) -> Any:
        """Return what a new load gives; those who come later join this one."""
        return await self._wait(self._start(key, load, tags))

    def in_background(self, key: Hashable, load: Load, tags: tuple[Hashable, ...] = ()) -> None:
        """Load without waiting, unless a load is running."""
        if self._current(key) is None:
            self._start(key, load, tags).callers = 1  # nobody will leave it, so it runs to its end

    def _here(self) -> dict[Hashable, _Flight]:
        home = _home()
        flights = self._loops.get(home)
        if flights is None:
            self._drop_closed()
            flights = self._loops[home] = {}
        return flights

    def _drop_closed(self) -> None:
        """Let go of loads that will never land: they would keep their loop, and those who wait on it."""
        for reference in self._loops.keyrefs():  # a list: other threads' loops begin and end meanwhile
            loop = reference()
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                flights: dict[Hashable, _Flight] = self._loops.pop(loop, {})
                for flight in flights.values():
                    self._tokens._end_load(flight.token)  # noqa: SLF001
                flights.clear()

    def _current(self, key: Hashable) -> _Flight | None:
        flight = self._here().get(key)
        if flight is None or (flight.task is not None and flight.task.done()):
            return None
        return flight if self._tokens._token_valid(flight.token, key, flight.tags) else None  # noqa: SLF001

    def _start(self, key: Hashable, load: Load, tags: tuple[Hashable, ...]) -> _Flight:
        flight = _Flight(key, self._tokens._begin_load(), tags, self._here())  # noqa: SLF001
        flight.others[key] = flight
        try:
            flight.task = _start_task(self._run(flight, load))
        except BaseException:
            self._tokens._end_load(flight.token)  # noqa: SLF001
            self._forget(flight)
            raise
        flight.task.add_done_callback(lambda task: self._landed(flight, task))
        return flight

    async def _run(self, flight: _Flight, load: Load) -> Any:
        running_load.set(flight)  # in this task's own context
        forget_deadline()
        return await load(flight)

    def _landed(self, flight: _Flight, task: Any) -> None:
        self._tokens._end_load(flight.token)  # noqa: SLF001
        self._forget(flight)
        error = None if task.cancelled() else task.exception()
        if error is not None and flight.joined == 0:
            _log.warning("loading %r in the background failed: %r", flight.key, error)
        for waker in flight.wakers:
            waker.set(True)

    @staticmethod
    def _forget(flight: _Flight) -> None:
        if flight.others.get(flight.key) is flight:
            del flight.others[flight.key]

    async def _wait(self, flight: _Flight) -> Any:
        with waiting_for(flight):
            flight.joined += 1
            flight.callers += 1
            waker = coroutine_signal()
            flight.wakers.append(waker)
            try:
                await waker.wait(None, SYSTEM_CLOCK)
            finally:
                flight.callers -= 1
                if not flight.task.done():
                    flight.wakers.remove(waker)
                    self._left(flight)
        return self._outcome(flight, flight.task)

    def _left(self, flight: _Flight) -> None:
        if flight.callers == 0 and not self._keep_running:
            self._forget(flight)
            with contextlib.suppress(RuntimeError):  # its loop was closed, and the last caller collected
                flight.task.cancel()

    @staticmethod
    def _outcome(flight: _Flight, task: Any) -> Any:
        if task.cancelled():
            raise asyncio.CancelledError
        error: BaseException | None = task.exception()
        if error is None:
            return task.result()
        if flight.joined > 1:
            raise own_error(error)
        try:
            raise error
        finally:
            del error  # it holds this frame through its traceback
