"""A server that leaves politely: what it began is finished, and nobody is sent here any more.

On the first signal it stops being ready and closes each connection after its response, for a grace period in
which load balancers look elsewhere; then it stops listening, finishes what runs and exits with 0. A second signal
exits at once.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn


class DrainingServer(uvicorn.Server):
    """Serves one process.

    Args:
        config: uvicorn's settings.
        drain: Called on the first signal, on the event loop.
        grace: Seconds between that and the end of listening.
    """

    def __init__(self, config: uvicorn.Config, *, drain: Callable[[], None], grace: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._grace = grace
        self._signalled = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and remember the loop that signals have to reach."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, exit at once on the second; uvicorn would re-raise it and end by it."""
        del sig, frame
        if self._signalled or self._loop is None or self._loop.is_closed():
            self.should_exit = self.force_exit = True
            return
        self._signalled = True
        with contextlib.suppress(RuntimeError):  # the loop closed meanwhile: it is leaving already
            self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._drain()
        asyncio.get_running_loop().call_later(self._grace, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
