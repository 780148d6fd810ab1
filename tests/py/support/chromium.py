"""A headless Chromium, spoken to by its own protocol."""

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import time
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """The page in the browser; `complaints` are what it wrote to the console or broke of its policy."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[Any] = []

    async def command(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") in (
                "Log.entryAdded",
                "Runtime.exceptionThrown",
                "Runtime.consoleAPICalled",
            ):
                self.complaints.append(message["params"])

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression comes to."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait in the page until an expression is true."""
        await self.evaluate(
            f"new Promise(done => {{ const look = () => ({expression}) ? done() : setTimeout(look, 20); look(); }})"
        )


@contextlib.asynccontextmanager
async def browser(address: str, folder: Any) -> AsyncIterator[Page]:
    """Open an address; skips the test where there is no Chromium."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("Chromium isn't installed (Debian: apt-get install chromium)")
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    drain = None
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if found := re.search(rb"ws://([^/]+)/", line):
                break
        else:
            raise AssertionError("Chromium didn't start")
        drain = asyncio.create_task(process.stderr.read())
        address_of_page = await asyncio.to_thread(_page_of, found[1].decode())
        async with connect(address_of_page, max_size=None, open_timeout=60, ping_interval=None) as socket:
            page = Page(socket)
            for domain in ("Log", "Runtime", "Page"):
                await page.command(f"{domain}.enable")
            await page.command("Page.navigate", url=address)
            yield page
    finally:
        process.terminate()
        await process.wait()
        if drain is not None:
            await drain


def _page_of(host: str) -> str:
    """Return the address of the first page, which may open later than the browser listens."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        with urllib.request.urlopen(f"http://{host}/json", timeout=30) as answer:
            for tab in json.load(answer):
                if tab["type"] == "page":
                    return str(tab["webSocketDebuggerUrl"])
    raise AssertionError("Chromium opened no page")
