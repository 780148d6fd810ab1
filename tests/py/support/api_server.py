"""A server on loopback that stands for an external API: it answers what a test says, and notes what it is asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """A request that came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """What the server answers; `cut` breaks off in the middle of the body, `held` waits for `release`."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    held: bool = False


class ApiServer:
    """Answers every request with `reply`, or with what `answer` makes of it."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.answer: Callable[[Asked], Reply] | None = None
        self.asked: list[Asked] = []
        self.release = asyncio.Event()
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def says(self, body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = Reply(body, status, {"Content-Type": kind, **named})

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
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked = _parse(head)
                self.asked.append(asked)
                await self._send(writer, self.answer(asked) if self.answer else self.reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        if reply.held:
            await self.release.wait()
        lines = [f"HTTP/1.1 {reply.status} So", f"Content-Length: {len(reply.body) + reply.cut}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
        await writer.drain()
        if reply.cut:
            raise ConnectionAbortedError


def _parse(head: str) -> Asked:
    first, *lines = head.split("\r\n")
    parts = urlsplit(first.split(" ")[1])
    headers = dict(line.split(": ", 1) for line in lines if line)
    return Asked(
        parts.path, dict(parse_qsl(parts.query)), {name.lower(): value for name, value in headers.items()}
    )


@contextlib.asynccontextmanager
async def api_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ApiServer]:
    """Run a server on a free port."""
    server = ApiServer()
    await server.start(tls)
    try:
        yield server
    finally:
        await server.stop()
