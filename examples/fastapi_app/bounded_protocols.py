"""uvicorn's protocols with bounds on what one client may take.

uvicorn reads request heads and trailers of any length, answers pings that nobody reads the answers to, and waits for
ever for a head to end or an answer to be taken. Here each of these ends the connection.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD = 32 * 1024
MAX_EVENT = 64 * 1024
# Bytes of chunk headers that may come with a byte of a body, which is itself one of them.
FRAMING = 16


class _Impatient(asyncio.Protocol):
    """Cuts the connection of a client that takes what it is sent too slowly, or not at all.

    Attributes:
        patience: Seconds in which a client has to take 4 KiB, or the rest.
    """

    patience = 10.0
    transport: asyncio.Transport
    _watch: asyncio.TimerHandle | None = None
    _unsent = 0

    def pause_writing(self) -> None:
        """Begin to watch: something waits to be taken."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._watch = asyncio.get_running_loop().call_later(self.patience, self._look)

    def resume_writing(self) -> None:
        """End watching: it was taken."""
        self._forget()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End watching."""
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._unsent - 4096:
            self.transport.abort()
            return
        self._unsent = left
        self._watch = asyncio.get_running_loop().call_later(self.patience, self._look)

    def _forget(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


class BoundedHttp(_Impatient, HttpToolsProtocol):
    """HTTP with bounded heads, which have to end in time.

    Attributes:
        head_timeout: Seconds in which a request's head has to be complete once the client can send it.
    """

    head_timeout = 10.0
    _besides = 0  # bytes of the present message that are no body
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client time for its first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has become too long."""
        self._besides += len(data)
        super().data_received(data)
        if self._besides > MAX_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._besides <= 0:
            self._stop_waiting()
        elif self._late is None:
            self._await_head()

    def on_body(self, body: bytes) -> None:
        """Count what comes besides the body."""
        self._besides = max(-MAX_HEAD, self._besides - FRAMING * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count anew."""
        self._besides = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(self.head_timeout, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: HTTPStatus) -> None:
        if self.transport.is_closing():
            return
        # Who has asked nothing is told nothing: a browser connects ahead, and would take it for its next answer.
        if self._besides and getattr(self.cycle, "response_complete", True):
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode())
        self.transport.close()


class BoundedWebSocket(_Impatient, WebSocketsSansIOProtocol):
    """WebSockets whose clients are not read from while they don't read themselves: each ping is owed a pong."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Have everything watched that the system does not take at once."""
        transport.set_write_buffer_limits(0)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the client doesn't."""
        super().data_received(data)
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on, now that the client does."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()


def bounds() -> dict[str, Any]:
    """Return what `uvicorn.Config` has to be told."""
    return {
        "http": BoundedHttp,
        "ws": BoundedWebSocket,
        "ws_max_size": MAX_EVENT,
        "ws_per_message_deflate": False,  # each client would cost the memory of a compressor
        "server_header": False,
    }
