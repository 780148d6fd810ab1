"""A TCP proxy that does to connections what networks do: latency, resets, half-closed and black-holed ones."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class FaultProxy:
    """Passes bytes between a client and one upstream, with a fault that can be changed at any time.

    `latency` holds each piece back for seconds; `black_hole` swallows everything both ways; `refuse` breaks off what
    comes, and `reset` what is open; `half_close` ends the upstream's side of what is open.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.latency = 0.0
        self.black_hole = False
        self.refuse = False
        self.accepted = 0
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes what was aborted

    def lead_to(self, host: str, port: int) -> None:
        """Lead new connections elsewhere, as an address that has moved."""
        self._upstream = (host, port)

    def reset(self) -> None:
        """Break off every connection."""
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()

    def half_close(self) -> None:
        """Let the upstream seem to have finished sending, while it still listens."""
        for client, _ in self._pairs:
            if client.can_write_eof():
                client.write_eof()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())  # also when it ends before it begins

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, upstream_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, upstream_writer))
                group.create_task(self._pass(upstream_reader, writer))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # one side is gone: resets, and the end of one that isn't there
            while data := await reader.read(65_536):
                if self.latency:
                    await asyncio.sleep(self.latency)
                if not self.black_hole:
                    writer.write(data)
                    await writer.drain()
            if writer.can_write_eof() and not self.black_hole:
                writer.write_eof()


@contextlib.asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Run a proxy on a free port of loopback."""
    proxy = FaultProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
