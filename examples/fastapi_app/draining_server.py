"""A server that leaves politely: what it began is finished, and nobody is sent here any more.

On the first signal it stops being ready and closes each connection after its response, for a grace period in
which load balancers look elsewhere; then it stops listening, finishes what runs and exits with 0. All of that has a
limit. A second signal exits at once. One that comes before it serves lets it start and stop, and nothing more.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

_log = logging.getLogger("uvicorn.error")


class DrainingServer(uvicorn.Server):
    """Serves one process.

    Args:
        config: uvicorn's settings; `timeout_graceful_shutdown` limits what requests may still take.
        drain: Called on the first signal, on the event loop.
        grace: Seconds between that and the end of listening.
        closing: Seconds that the application's parts may take to stop after its last request.
    """

    def __init__(
        self, config: uvicorn.Config, *, drain: Callable[[], None], grace: float, closing: float
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._grace = grace
        self._closing = closing
        self._signalled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.servers = []  # what listens; filled before uvicorn says so, while `started` follows after it

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and remember the loop that signals have to reach."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs and stop the parts, within the limit."""
        limit = self.config.timeout_graceful_shutdown
        try:
            async with asyncio.timeout(None if limit is None else limit + self._closing):
                await super().shutdown(sockets)
        except TimeoutError:
            _log.error("The application did not stop within %g s; leaving without it", self._closing)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, exit at once on the second; uvicorn would re-raise it and end by it."""
        del frame
        if self._signalled:
            logging.shutdown()
            os._exit(0 if self.servers else 128 + sig)  # closing the loop would wait for what runs on it
        self._signalled = True
        if not self.servers:
            self.should_exit = True
            return
        assert self._loop is not None  # noqa: S101 - it serves
        with contextlib.suppress(RuntimeError):  # the loop closed meanwhile: it is leaving already
            self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        asyncio.get_running_loop().call_later(self._grace, self._stop)  # first: it ends, whatever else fails
        self._drain()

    def _stop(self) -> None:
        self.should_exit = True
