"""A scripted HTTP server on loopback: what it answers is in the path, and events hold its answers back."""

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qsl, urlsplit

from support.loopback import LoopbackServer, send

_REASON = "Whatever"


class HttpServer(LoopbackServer):
    """Counts what reaches it, and answers as the path says.

    ``/echo/<text>?ticks=n`` answers the text after n turns of the loop; ``/status/<code>?<header>=<value>`` answers
    that status and headers; ``/held`` waits for `release`; ``/stream`` sends one chunk, waits for `release` and sends
    the last; ``/cut`` breaks off in the middle of a body.
    """

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.requests = 0
        self.last_head = ""
        self.connections = 0
        self.most_at_once = 0
        self.held = 0
        self._now = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await super()._serve(reader, writer)

    async def _exchange(self, head: str, writer: asyncio.StreamWriter) -> bool:
        self.last_head = head
        method, path, _ = head.split(" ", 2)
        self.requests += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.arrived.release()
        try:
            await self._answer(method, path, writer)
        finally:
            self._now -= 1
        return "connection: close" not in head.lower()

    async def _answer(self, method: str, path: str, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        kind, _, rest = parts.path.lstrip("/").partition("/")
        if kind == "echo":
            for _ in range(int(query.get("ticks", "0"))):
                await asyncio.sleep(0)
            await self._send(writer, method, 200, rest.encode())
        elif kind == "status":
            await self._send(writer, method, int(rest), b"so it is", query)
        elif kind == "held":
            self.held += 1
            await self.release.wait()
            await self._send(writer, method, 200, b"released")
        elif kind == "stream":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await self.release.wait()
            writer.write(b"4\r\nlast\r\n0\r\n\r\n")
            await writer.drain()
        elif kind == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            await writer.drain()
            await self.release.wait()
            raise ConnectionAbortedError
        else:
            await self._send(writer, method, 200, b"")

    @staticmethod
    async def _send(
        writer: asyncio.StreamWriter,
        method: str,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        await send(writer, f"{status} {_REASON}", headers, b"" if method == "HEAD" else body)


def http_server(tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[HttpServer]:
    """Run a server on a free port."""
    return HttpServer().running(tls)
