"""A grace period for workers: uvicorn's supervisor makes their servers, which can't be a `DrainingServer` therefore.

A worker takes over the signals that uvicorn handles. On the first one it stops being ready, and goes on serving while
load balancers look elsewhere; then uvicorn is told, which stops listening and finishes what runs. A second signal is
uvicorn's at once.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from draining_server import DrainingServer

Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def grace_before_exit(*, drain: Callable[[], None], grace: float) -> Iterator[None]:
    """Let signals wait while inside, on the event loop that serves; nothing to do under any other server.

    Args:
        drain: Called on the first signal, on the event loop.
        grace: Seconds between that and the moment in which uvicorn is told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are another thread's affair
        return
    waiting = _Waiting(drain, grace)
    waiting.take_over()
    try:
        yield
    finally:
        waiting.give_back()


class _Waiting:
    def __init__(self, drain: Callable[[], None], grace: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._drain = drain
        self._grace = grace
        self._handlers: dict[int, Handler] = {}  # uvicorn's
        self._has_begun = False
        self._is_told = False

    def take_over(self) -> None:
        for number in HANDLED_SIGNALS:
            handler = signal.getsignal(number)
            server = getattr(handler, "__self__", None)
            if (
                callable(handler)
                and isinstance(server, uvicorn.Server)
                and not isinstance(server, DrainingServer)
            ):
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def give_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._has_begun:
            self._tell(number)
            return
        self._has_begun = True
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._loop.call_later(self._grace, self._end, number)  # first: it ends, whatever else fails
        self._drain()

    def _end(self, number: int) -> None:
        if not self._is_told:
            self._tell(number)

    def _tell(self, number: int) -> None:
        self._is_told = True
        self._handlers[number](number, None)
