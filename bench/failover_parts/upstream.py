"""Three providers in one process, and a fault for the first: what the failover benchmark runs against.

Each speaks chat completions on a port of its own; latencies are drawn from pinned seeds. Lines on standard input say
what the first one does from now on (``ok``, ``reset``, ``503``, ``hang``), or ``log`` for what has reached it.
"""

import asyncio
import contextlib
import json
import random
import sys
import time

MEDIANS = (0.05, 0.1, 0.15)  # seconds, of the three
SPREAD = 0.2  # sigma of the lognormal latencies
_BODY = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
).encode()


class Upstream:
    """One provider."""

    def __init__(self, median: float, seed: int) -> None:
        self.mode = "ok"
        self.log: list[dict[str, float | str | None]] = []
        self._median = median
        self._rng = random.Random(seed)

    async def start(self) -> int:
        """Listen, and return the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                entry = {"mode": self.mode, "arrived": time.time(), "ended": None}
                self.log.append(entry)
                if not await self._answer(str(entry["mode"]), reader, writer):
                    entry["ended"] = time.time()
                    break
                entry["ended"] = time.time()
        writer.transport.abort()

    async def _answer(self, mode: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; false when the connection is to go."""
        if mode == "reset":
            return False
        if mode == "hang":
            await reader.read(1)  # until the client gives up
            return False
        if mode == "503":
            self._send(writer, "503 Service Unavailable", b'{"error": {"message": "down"}}')
        else:
            await asyncio.sleep(self._median * self._rng.lognormvariate(0.0, SPREAD))
            self._send(writer, "200 OK", _BODY)
        await writer.drain()
        return True

    @staticmethod
    def _send(writer: asyncio.StreamWriter, status: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


async def main() -> None:
    upstreams = [Upstream(median, seed) for seed, median in enumerate(MEDIANS)]
    print(json.dumps([await each.start() for each in upstreams]), flush=True)
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "log":
            print(json.dumps(upstreams[0].log), flush=True)
        else:
            upstreams[0].mode = line
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
