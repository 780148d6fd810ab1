"""Generators under policies: one stream is one call.

It is admitted at its first item, holds its permits until it ends, and is made again, or replaced by a fallback, only
while it has not given an item. Exhausted is a success; a consumer that leaves early has a success when at least one
item came, else the permits are given back without a verdict, as they are when an error that the consumer threw in
comes back out.
"""

# ruff: noqa: SLF001 - the policies of a pipeline know each other

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from resilience import _core
from resilience._streams import items_of
from resilience._timeout import Timeout
from resilience._waiting import sleep, sleep_sync

if TYPE_CHECKING:
    from resilience._policy import Members, Policy

_END: Any = object()  # in place of StopIteration, which a generator can't pass on
_SOON = 1e-9  # what is left of a deadline that has passed: the next suspension is one too many

_Step = Callable[[], Awaitable[Any]]


class _Permits:
    """What one stream holds of its policies, from outermost to innermost."""

    def __init__(self, members: "Members", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._members = members
        self._call = args, kwargs
        self._held: list[Callable[[BaseException | None, bool], object]] = []
        self.items = 0

    async def enter(self) -> None:
        for policy, key in self._entering():
            await policy._wait(*key)

    def enter_sync(self) -> None:
        for policy, key in self._entering():
            policy._wait_sync(*key)

    def leave(self, error: BaseException | None, *, released: bool = False) -> None:
        """Give everything back, once."""
        while self._held:
            self._held.pop()(error, released)

    def abandon(self) -> None:
        """The consumer wants no more."""
        self.leave(None, released=self.items == 0)

    def _entering(self) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Pass the layers; yields each one that has to be waited for."""
        breaker, rate = self._members.circuit_breaker, self._members.rate_limit
        bulkhead, limit = self._members.bulkhead, self._members.adaptive_limit
        if breaker is not None:
            token = breaker._admit()
            self._held.append(lambda error, released: breaker._settle(token, error, released))
        if rate is not None:
            key = None if rate._key is None else rate._key_of(*self._call)
            if rate._machine.try_acquire(key) > 0.0:
                yield rate, (key,)
        if bulkhead is not None:
            if not bulkhead._machine.try_acquire():
                yield bulkhead, ()
            self._held.append(lambda _error, _released: bulkhead._serve(bulkhead._machine.release()))
        if limit is not None:
            if not limit._machine.try_acquire():
                yield limit, ()
            started = limit._clock.now()
            self._held.append(lambda error, released: limit._finish(started, error, released=released))


class _Timing:
    """The timeouts of one stream. Those of a single item are policies; what is left of longer ones is made one."""

    def __init__(self, members: "Members") -> None:
        self._attempt, self._total = members.timeout, members.total_timeout
        self._attempt_end: float | None = None
        self._total_end = _end_of(self._total)

    def begin_attempt(self) -> None:
        self._attempt_end = _end_of(self._attempt)

    def time_left(self) -> float | None:
        """Seconds of the total timeout that are left."""
        if self._total is None or self._total_end is None:
            return None
        return max(0.0, self._total_end - self._total._clock.now())

    def entering(self, step: _Step) -> Awaitable[Any]:
        """The way through the layers, which only the total timeout covers."""
        return _until(self._total, self._total_end, step)()

    def item(self, step: _Step, *, first: bool = False) -> Awaitable[Any]:
        """One item under all timeouts."""
        if self._attempt is not None:
            pause = self._attempt._for_first_item if first else self._attempt._for_item
            if pause is not None:
                step = _bound(pause, step)
            step = _until(self._attempt, self._attempt_end, step)
        return _until(self._total, self._total_end, step)()


def _end_of(limit: Timeout | None) -> float | None:
    return None if limit is None or limit.seconds is None else limit._clock.now() + limit.seconds


def _until(limit: Timeout | None, end: float | None, step: _Step) -> _Step:
    if limit is None or end is None:
        return step
    left = max(_SOON, end - limit._clock.now())
    return _bound(Timeout(left, name=limit.name, clock=limit._clock), step)


def _bound(limit: Timeout, step: _Step) -> _Step:
    return lambda: limit.call(step)


class _AsyncRun:
    """One async stream under policies."""

    def __init__(self, policy: "Policy", function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._members = policy._members
        self._call = function, args, kwargs
        self._timing = _Timing(self._members)
        self._permits = _Permits(self._members, args, kwargs)
        self._inner: AsyncGenerator[Any, Any] | None = None

    async def open(self) -> Any:
        """The first item, of the function's stream or of the fallback's."""
        try:
            return await self._attempts()
        except Exception as error:
            fallback = self._members.fallback
            if fallback is None or not fallback._matches(error):
                raise
            answer = fallback._result(*self._call[1:])
        self._inner, self._timing = items_of(answer), _Timing(type(self._members)())
        return await self._step(self._inner.__anext__)

    async def send(self, value: Any) -> Any:
        assert self._inner is not None  # noqa: S101 # it has been opened
        inner = self._inner
        return await self._step(inner.__anext__ if value is None else lambda: inner.asend(value))

    async def throw(self, error: BaseException) -> Any:
        assert self._inner is not None  # noqa: S101 # it has been opened
        inner = self._inner
        return await self._step(lambda: inner.athrow(error), error)

    async def close(self) -> None:
        try:
            if self._inner is not None:
                await self._inner.aclose()
        except BaseException as error:
            self._permits.leave(error)
            raise
        self._permits.abandon()

    async def _attempts(self) -> Any:
        retry, state = self._members.retry, _core.RetryState()
        if retry is not None:
            retry._on_call()
        while True:
            try:
                return await self._attempt()
            except Exception as error:
                wait = None if retry is None else retry._next(state, error, self._timing.time_left())
                if retry is None or wait is None:
                    raise
            await self._timing.entering(functools.partial(sleep, wait, retry._clock))

    async def _attempt(self) -> Any:
        function, args, kwargs = self._call
        permits = self._permits = _Permits(self._members, args, kwargs)
        try:
            await self._timing.entering(permits.enter)
            self._timing.begin_attempt()
            self._inner = function(*args, **kwargs)
        except BaseException as error:
            permits.leave(error)
            raise
        return await self._step(self._inner.__anext__, first=True)

    async def _step(self, step: _Step, thrown: BaseException | None = None, *, first: bool = False) -> Any:
        """The next item, or `_END`; permits go back with whatever ends the stream."""
        try:
            item = await self._timing.item(step, first=first)
        except StopAsyncIteration:
            self._permits.leave(None)
            return _END
        except BaseException as error:
            self._permits.leave(error, released=error is thrown)
            raise
        self._permits.items += 1
        return item


async def guarded_async_stream(
    policy: "Policy", function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, Any]:
    """The items of ``function(*args, **kwargs)`` under `policy`; ``asend`` and ``athrow`` pass through."""
    run = _AsyncRun(policy, function, args, kwargs)
    item = await run.open()
    while item is not _END:
        try:
            sent = yield item
        except GeneratorExit:
            await run.close()
            raise
        except BaseException as error:  # noqa: BLE001 # it goes where the consumer threw it
            item = await run.throw(error)
        else:
            item = await run.send(sent)


class _Run:
    """One plain stream under policies: as `_AsyncRun`, on a thread and without timeouts."""

    def __init__(self, policy: "Policy", function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._members = policy._members
        self._call = function, args, kwargs
        self._permits = _Permits(self._members, args, kwargs)
        self._inner: Generator[Any, Any, Any] | None = None

    def open(self) -> Any:
        try:
            return self._attempts()
        except Exception as error:
            fallback = self._members.fallback
            if fallback is None or not fallback._matches(error):
                raise
            answer = fallback._result(*self._call[1:])
        self._inner = (item for item in answer)
        return self._step(self._inner.__next__)

    def send(self, value: Any) -> Any:
        assert self._inner is not None  # noqa: S101 # it has been opened
        inner = self._inner
        return self._step(inner.__next__ if value is None else lambda: inner.send(value))

    def throw(self, error: BaseException) -> Any:
        assert self._inner is not None  # noqa: S101 # it has been opened
        inner = self._inner
        return self._step(lambda: inner.throw(error), error)

    def close(self) -> None:
        try:
            if self._inner is not None:
                self._inner.close()
        except BaseException as error:
            self._permits.leave(error)
            raise
        self._permits.abandon()

    def _attempts(self) -> Any:
        retry, state = self._members.retry, _core.RetryState()
        if retry is not None:
            retry._on_call()
        while True:
            try:
                return self._attempt()
            except Exception as error:
                wait = None if retry is None else retry._next(state, error, None)
                if retry is None or wait is None:
                    raise
            sleep_sync(wait, retry._clock)

    def _attempt(self) -> Any:
        function, args, kwargs = self._call
        permits = self._permits = _Permits(self._members, args, kwargs)
        try:
            permits.enter_sync()
            self._inner = function(*args, **kwargs)
        except BaseException as error:
            permits.leave(error)
            raise
        return self._step(self._inner.__next__)

    def _step(self, step: Callable[[], Any], thrown: BaseException | None = None) -> Any:
        try:
            item = step()
        except StopIteration as stop:
            self._permits.leave(None)
            self.result = stop.value
            return _END
        except BaseException as error:
            self._permits.leave(error, released=error is thrown)
            raise
        self._permits.items += 1
        return item

    result: Any = None  # what the generator returned


def guarded_stream(
    policy: "Policy", function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Any, Any, Any]:
    """The items of ``function(*args, **kwargs)`` under `policy`; ``send`` and ``throw`` pass through."""
    run = _Run(policy, function, args, kwargs)
    item = run.open()
    while item is not _END:
        try:
            sent = yield item
        except GeneratorExit:
            run.close()
            raise
        except BaseException as error:  # noqa: BLE001 # it goes where the consumer threw it
            item = run.throw(error)
        else:
            item = run.send(sent)
    return run.result
