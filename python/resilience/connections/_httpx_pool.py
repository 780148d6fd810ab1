"""What httpcore and httpcore2 lose when a request is cancelled, kept.

Cancelled during a TLS handshake, both forget the socket; cancelled between connecting and sending, httpcore keeps
a place for a connection that nobody will use (httpcore #1099 tells of the family). These classes stand where the
libraries let one put one's own, and are written against their public interfaces, which are the same.
"""

import contextlib
from typing import Any


class Stream:
    """One connection's bytes; a failed or cancelled handshake closes it."""

    def __init__(self, inner: Any, network: "Network") -> None:
        self._inner = inner
        self._network = network

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """Receive some bytes."""
        data: bytes = await self._inner.read(max_bytes, timeout)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        """Send all bytes."""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        self._network.streams.discard(self)
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **settings: Any) -> "Stream":
        """Shake hands."""
        try:
            self._inner = await self._inner.start_tls(*arguments, **settings)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """Tell what httpcore asks for."""
        return self._inner.get_extra_info(info)

    @property
    def is_open(self) -> bool:
        """Whether the socket is."""
        sock = self._inner.get_extra_info("socket")
        with contextlib.suppress(OSError, ValueError):
            return sock is not None and bool(sock.fileno() >= 0)
        return False


class Network:
    """The network behind a pool; it knows every connection that is open.

    Args:
        inner: a network backend of httpcore's.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.opened = 0
        self.streams: set[Stream] = set()

    async def connect_tcp(self, *arguments: Any, **settings: Any) -> Stream:
        """Open a connection."""
        return self._opened(await self._inner.connect_tcp(*arguments, **settings))

    async def connect_unix_socket(self, *arguments: Any, **settings: Any) -> Stream:
        """Open a connection to a local socket."""
        return self._opened(await self._inner.connect_unix_socket(*arguments, **settings))

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    def _opened(self, inner: Any) -> Stream:
        self.opened += 1
        stream = Stream(inner, self)
        self.streams.add(stream)
        return stream

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return sum(1 for stream in self.streams if stream.is_open)


class Connection:
    """A connection of httpcore's that is closed when the request it was made for never gets to it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._new = True

    def __getattr__(self, name: str) -> Any:
        """Ask the connection itself for anything else."""
        return getattr(self._inner, name)

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request."""
        first, self._new = self._new, False
        try:
            return await self._inner.handle_async_request(request)
        except BaseException:
            if first and not self._inner.is_idle():  # later ones may fail while another has the connection
                await self._inner.aclose()
            raise
