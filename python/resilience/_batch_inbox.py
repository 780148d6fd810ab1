"""Requests that other threads hand to a batcher's event loop."""

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

from resilience import _fork

_Outcome = concurrent.futures.Future[Any]
_AddRequest = Callable[[Any, Any], asyncio.Future[Any]]


class BatchInbox:
    """What waits to be taken in by one loop; threads wake the loop once for all that it finds there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, add_request: _AddRequest) -> None:
        self._loop = weakref.ref(loop)
        self._forks = _fork.forks
        self._add_request = add_request
        self._lock = threading.Lock()
        self._arrived: list[tuple[_Outcome, Any, Any]] = []  # guarded by _lock
        self._open: set[_Outcome] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, while it lives and isn't closed; the one of a process that forked runs on there."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() or self._has_forked else loop

    @property
    def _has_forked(self) -> bool:
        return self._forks != _fork.forks

    def submit(self, request_id: Any, payload: Any) -> _Outcome:
        """Hand a request over, from any thread.

        Raises:
            RuntimeError: when the loop is closed.
        """
        loop = self.loop
        if loop is None:
            raise RuntimeError("the batcher's event loop is closed")
        outcome = _Outcome()
        with self._lock:
            self._arrived.append((outcome, request_id, payload))
            first = len(self._arrived) == 1
        self._open.add(outcome)
        outcome.add_done_callback(self._open.discard)
        if first:
            loop.call_soon_threadsafe(self._take_in)
        if loop.is_closed():  # since it was looked at; who abandoned what waited there hadn't seen this one
            self.abandon()
        return outcome

    def abandon(self) -> None:
        """Fail what the loop, which is closed, will never answer."""
        if self._has_forked:
            return  # it is answered in the parent
        for outcome in tuple(self._open):
            if outcome.cancel():
                continue
            # it may be done by now, by another thread
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                outcome.set_exception(RuntimeError("the batcher's event loop was closed"))

    def _take_in(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for outcome, request_id, payload in arrived:
            if not outcome.cancelled():
                self._chain(self._add_request(request_id, payload), outcome)

    def _chain(self, future: asyncio.Future[Any], outcome: _Outcome) -> None:
        loop = future.get_loop()

        def cancel_future(_: _Outcome) -> None:
            if outcome.cancelled() and not loop.is_closed():
                loop.call_soon_threadsafe(future.cancel)

        def copy_outcome(_: asyncio.Future[Any]) -> None:
            if future.cancelled():
                outcome.cancel()
                outcome.set_running_or_notify_cancel()
            elif outcome.set_running_or_notify_cancel():
                error = future.exception()
                if error is None:
                    outcome.set_result(future.result())
                else:
                    outcome.set_exception(error)

        outcome.add_done_callback(cancel_future)
        future.add_done_callback(copy_outcome)
