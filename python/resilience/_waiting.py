"""Waiting for a place, a turn or a time, by a coroutine or by a thread.

Policies write the rules of a wait once, as a generator that yields a `Wait`; `wait_async` and `wait_sync` perform it.
A `Signal` wakes whoever waits, from any thread; it knows whether anybody was still there to be woken.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeVar

from resilience._checks import whole
from resilience._core import Clock, ManualClock, SystemClock

_T = TypeVar("_T")

SYSTEM_CLOCK: Final[Clock] = SystemClock()  # the one that policies share: clocks are compared by identity


class Signal:
    """Wakes one waiting caller, once, and remembers with what."""

    value: object = None

    def set(self, value: object) -> bool:
        """Wake the caller with `value`; false when it can't be woken any more."""
        self.value = value
        return self._wake(value)

    def _wake(self, value: object) -> bool:
        raise NotImplementedError


class Wait(NamedTuple):
    """What a generator of rules asks for: wait for the signal, for at most so many seconds."""

    signal: Signal
    timeout: float | None


Rules = Generator[Wait, Any, _T]


def is_being_cancelled() -> bool:
    """Whether the running task is asked to end; else a `CancelledError` is that of something it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class CoroutineSignal(Signal):
    """Wakes a coroutine where it runs."""

    async def wait(self, timeout: float | None, clock: Clock) -> object:  # noqa: ASYNC109 # on the policy's clock
        """Return what the signal was set to, or ``None`` after `timeout` seconds."""
        raise NotImplementedError


def in_trio() -> bool:
    """Whether a task of trio is running; whoever doesn't use trio hasn't imported it."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


def coroutine_signal() -> CoroutineSignal:
    """A signal for the coroutine that runs now, on asyncio or on trio."""
    if not in_trio():
        return AsyncSignal()
    from resilience._trio import TrioSignal  # it imports trio

    return TrioSignal()


class AsyncSignal(CoroutineSignal):
    """Wakes a coroutine on its own event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[object] = self._loop.create_future()

    def _wake(self, value: object) -> bool:
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 # the only look that doesn't raise
            self._resolve(value)
            return True
        try:
            self._loop.call_soon_threadsafe(self._resolve, value)
        except RuntimeError:  # its loop is closed
            return False
        return True

    def _resolve(self, value: object) -> None:
        if not self._future.done():
            self._future.set_result(value)

    async def wait(self, timeout: float | None, clock: Clock) -> object:  # noqa: ASYNC109 # on the policy's clock
        """Return what the signal was set to, or ``None`` after `timeout` seconds."""
        if timeout is None:
            return await self._future
        cancel = call_later(clock, timeout, lambda: self._wake(None), loop=self._loop)
        try:
            return await self._future
        finally:
            cancel()


class ThreadSignal(Signal):
    """Wakes a blocked thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def _wake(self, value: object) -> bool:  # noqa: ARG002 # the thread reads it from the signal
        self._event.set()
        return True

    def wait(self, timeout: float | None, clock: Clock) -> object:
        """Return what the signal was set to, or ``None`` after `timeout` seconds."""
        if timeout is None or not isinstance(clock, ManualClock):
            self._event.wait(timeout)
            return self.value
        cancel = call_later(clock, timeout, self._event.set)
        try:
            self._event.wait()
        finally:
            cancel()
        return self.value


def call_later(
    clock: Clock,
    seconds: float,
    callback: Callable[[], object],
    *,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Callable[[], object]:
    """Call `callback` after so many seconds of `clock`; returns what cancels it.

    A manual clock calls it from ``advance()``; otherwise it runs on `loop`, which is needed then.
    """
    if isinstance(clock, ManualClock):
        timer = clock.call_later(seconds, callback)
        return lambda: clock.cancel(timer)
    if loop is None:
        raise ValueError("loop is needed with a clock that is not manual")
    return loop.call_later(seconds, callback).cancel


async def sleep(seconds: float, clock: Clock) -> None:
    """Sleep on a policy's clock."""
    if seconds <= 0.0 and not in_trio():
        await asyncio.sleep(0)
        return
    await coroutine_signal().wait(max(0.0, seconds), clock)


def sleep_sync(seconds: float, clock: Clock) -> None:
    """Block the thread on a policy's clock."""
    if seconds > 0.0:
        ThreadSignal().wait(seconds, clock)


async def wait_async(rules: Rules[_T], clock: Clock) -> _T:
    """Perform the waits of `rules` in a coroutine. The rules see a cancellation where they wait."""
    try:
        wait = next(rules)
        while True:
            assert isinstance(wait.signal, CoroutineSignal)  # noqa: S101 # the rules were made for coroutines
            try:
                value = await wait.signal.wait(wait.timeout, clock)
            except BaseException as error:  # noqa: BLE001 # goes where it would have been raised
                wait = rules.throw(error)
            else:
                wait = rules.send(value)
    except StopIteration as stop:
        result: _T = stop.value
        return result


def wait_sync(rules: Rules[_T], clock: Clock) -> _T:
    """Perform the waits of `rules` by blocking the thread."""
    try:
        wait = next(rules)
        while True:
            assert isinstance(wait.signal, ThreadSignal)  # noqa: S101 # the rules were made for threads
            try:
                value = wait.signal.wait(wait.timeout, clock)
            except BaseException as error:  # noqa: BLE001 # an interrupt goes where it would have been raised
                wait = rules.throw(error)
            else:
                wait = rules.send(value)
    except StopIteration as stop:
        result: _T = stop.value
        return result


PRIORITY: ContextVar[int] = ContextVar("resilience_priority", default=0)


def current_priority() -> int:
    """The priority that the running code was given by `priority`."""
    return PRIORITY.get()


class priority:  # noqa: N801 # a context manager reads as a verb
    """Gives the calls made inside a priority in the queues of limits.

    ``with priority(10): ...``. Higher numbers are served first, equal ones in order of arrival; 0 is the default.
    It goes with the context: tasks started inside inherit it.

    Args:
        n: any integer.

    Raises:
        TypeError: if `n` is not an integer.
    """

    def __init__(self, n: int) -> None:
        self._n = whole("n", n)
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        self._tokens.append(PRIORITY.set(self._n))

    def __exit__(self, *exc_info: object) -> None:
        PRIORITY.reset(self._tokens.pop())
