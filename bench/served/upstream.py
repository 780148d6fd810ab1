"""An upstream that goes and comes back on one port as it is told: "down" and "up" by lines of standard input.

While it is down connections are refused and those that were open are closed, as after a crash; only the process
stays, since starting one would disturb what is measured meanwhile. Each line is answered by the port.
"""

import asyncio
import sys
from typing import ClassVar

BODY = b'{"item":7,"name":"seven"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class Connection(asyncio.Protocol):
    """Answers every request alike; those of this benchmark have no body and come in one piece."""

    open: ClassVar[set[asyncio.Transport]] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep it, to be closed with the others."""
        self.transport = transport
        self.open.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget it."""
        self.open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def main() -> None:
    loop, server, port = asyncio.get_running_loop(), None, 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line == "up\n" and server is None:
            server = await loop.create_server(Connection, "127.0.0.1", port)
            port = server.sockets[0].getsockname()[1]
        elif line == "down\n" and server is not None:
            server.close()
            server = None
            for transport in list(Connection.open):
                transport.abort()
        print(port, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
