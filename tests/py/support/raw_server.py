"""A server that sends exactly the bytes it is told to, whatever is asked, and closes the connection."""

import asyncio
import contextlib


class RawServer:
    """One response at a time; `sent` counts the bytes that clients have taken."""

    def __init__(self):
        self.requests = 0
        self.sent = 0
        self._pieces = [b""]
        self._server = None
        self.url = ""

    def answer(self, body, *, status=200, headers=None):
        """Answer with this body: bytes, or an iterable of pieces."""
        whole = isinstance(body, bytes)
        lines = [f"HTTP/1.1 {status} So", "connection: close"]
        given = {"content-type": "application/json", **(headers or {})}
        if whole and "content-length" not in given and "transfer-encoding" not in given:
            given["content-length"] = str(len(body))
        lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
        head = "\r\n".join([*lines, "", ""]).encode()
        self._pieces = [head, body] if whole else [head, *body]

    def answer_bytes(self, raw):
        """Answer with these bytes, head and all."""
        self._pieces = [raw]

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            self.requests += 1
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()


@contextlib.asynccontextmanager
async def raw_server():
    """Run one on a free port."""
    server = RawServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
