"""A scripted HTTP server on loopback: what it answers is in the path, and events hold its answers back."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

_REASON = "Whatever"


class HttpServer:
    """Counts what reaches it, and answers as the path says.

    ``/echo/<text>?ticks=n`` answers the text after n turns of the loop; ``/status/<code>?<header>=<value>`` answers
    that status and headers; ``/held`` waits for `release`; ``/stream`` sends one chunk, waits for `release` and sends
    the last; ``/cut`` breaks off in the middle of a body.
    """

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.requests = 0
        self.last_head = ""
        self.connections = 0
        self.most_at_once = 0
        self.held = 0
        self._now = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self, tls: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.last_head = head.decode()
                method, path, _ = self.last_head.split(" ", 2)
                self.requests += 1
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                self.arrived.release()
                try:
                    await self._answer(method, path, writer)
                finally:
                    self._now -= 1
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

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
        lines = [f"HTTP/1.1 {status} {_REASON}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))
        await writer.drain()


@contextlib.asynccontextmanager
async def http_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """Run a server on a free port."""
    server = HttpServer()
    await server.start(tls)
    try:
        yield server
    finally:
        await server.stop()
