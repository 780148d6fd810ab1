"""Signals: each wakes one waiting coroutine or thread, from any thread, and knows whether it was still there."""

import asyncio
import threading
from collections.abc import Callable

from resilience._core import Clock, ManualClock


class Signal:
    """Wakes one waiting caller, once, and remembers with what."""

    value: object = None

    def set(self, value: object) -> bool:
        """Wake the caller with `value`; false when it can't be woken any more."""
        self.value = value
        return self._wake(value)

    def _wake(self, value: object) -> bool:
        raise NotImplementedError


class CoroutineSignal(Signal):
    """Wakes a coroutine where it runs."""

    async def wait(self, timeout: float | None, clock: Clock) -> object:  # noqa: ASYNC109 # on the policy's clock
        """Return what the signal was set to, or ``None`` after `timeout` seconds."""
        raise NotImplementedError


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
