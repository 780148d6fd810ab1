"""A server on loopback that stands for an external API: it answers what a test says, and notes what it is asked."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from support.loopback import LoopbackServer, send


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


Answer = Callable[[Asked], Reply]


class ApiServer(LoopbackServer):
    """Answers every request with `reply`, or with what `answer` makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = Reply()
        self.answer: Answer | None = None
        self.asked: list[Asked] = []
        self.release = asyncio.Event()

    def says(self, body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = Reply(body, status, {"Content-Type": kind, **named})

    async def _exchange(self, head: str, writer: asyncio.StreamWriter) -> bool:
        asked = _parse(head)
        self.asked.append(asked)
        reply = self.answer(asked) if self.answer else self.reply
        if reply.held:
            await self.release.wait()
        headers = {"Content-Length": str(len(reply.body) + reply.cut), **reply.headers}
        await send(writer, f"{reply.status} So", headers, reply.body)
        return not reply.cut


def _parse(head: str) -> Asked:
    first, *lines = head.split("\r\n")
    parts = urlsplit(first.split(" ")[1])
    headers = dict(line.split(": ", 1) for line in lines if line)
    return Asked(
        parts.path, dict(parse_qsl(parts.query)), {name.lower(): value for name, value in headers.items()}
    )


def api_server(tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[ApiServer]:
    """Run a server on a free port."""
    return ApiServer().running(tls)
