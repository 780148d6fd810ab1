"""Waiting and loading under trio, as `_waiting` and asyncio's tasks do it; imported only where trio is running."""

import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import trio

from resilience._core import Clock, ManualClock
from resilience._signals import CoroutineSignal, call_later


class TrioSignal(CoroutineSignal):
    """Wakes a coroutine in its own run of trio."""

    def __init__(self) -> None:
        self._home = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def _wake(self, value: object) -> bool:  # noqa: ARG002 # the waiter reads it from the signal
        try:
            here = trio.lowlevel.current_trio_token() is self._home
        except RuntimeError:  # not in trio at all
            here = False
        if here:
            self._event.set()
            return True
        try:
            self._home.run_sync_soon(self._event.set, idempotent=True)
        except trio.RunFinishedError:
            return False
        return True

    async def wait(self, timeout: float | None, clock: Clock) -> object:  # noqa: ASYNC109 # on the policy's clock
        """Return what the signal was set to, or ``None`` after `timeout` seconds."""
        if timeout is None:
            await self._event.wait()
        elif isinstance(clock, ManualClock):
            cancel = call_later(clock, timeout, lambda: self._wake(None))
            try:
                await self._event.wait()
            finally:
                cancel()
        else:
            with trio.move_on_after(timeout):
                await self._event.wait()
        return self.value


class TrioTask:
    """A coroutine in a task of nobody's nursery, with as much of ``asyncio.Task`` as a flight needs."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._scope = trio.CancelScope()
        self._callbacks: list[Callable[[Any], object]] = []
        self._done = self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        trio.lowlevel.spawn_system_task(self._run, coroutine, context=contextvars.copy_context())

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            with self._scope:
                self._result = await coroutine
            self._cancelled = self._scope.cancelled_caught
        except trio.Cancelled:  # the run is over
            self._cancelled = True
            raise
        except BaseException as error:  # noqa: BLE001 # those who wait for it get it
            self._error = error
        finally:
            self._done = True
            for callback in self._callbacks:
                callback(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with the task once it has ended."""
        self._callbacks.append(callback)

    def cancel(self) -> None:
        """End it early."""
        self._scope.cancel()

    def done(self) -> bool:
        """Tell whether it has ended."""
        return self._done

    def cancelled(self) -> bool:
        """Tell whether it was ended early."""
        return self._cancelled

    def exception(self) -> BaseException | None:
        """What it raised."""
        return self._error

    def result(self) -> Any:
        """What it returned; REQUIRES that it ended well."""
        return self._result
