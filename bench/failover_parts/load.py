"""The load of the failover benchmark: open-loop requests at a fixed rate, through whatever asks the providers.

Imports nothing of the libraries that are measured, for each runs in an environment of its own.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

RATE = 10.0  # requests a second
HEALTHY = 10.0  # seconds before the outage
OUTAGE = 60.0
AFTER = 5.0
TIMEOUT = 5.0  # seconds an attempt may take

Ask = Callable[[], Awaitable[str]]


class Providers:
    """The process of the three providers."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("upstream.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self.urls = [f"http://127.0.0.1:{port}/v1" for port in self._read()]

    def say(self, word: str) -> Any:
        """Say what the first provider does from now on, or ask for its log."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


async def _one(ask: Ask, calls: list[dict[str, Any]]) -> None:
    call: dict[str, Any] = {"started": time.time()}
    started = time.perf_counter()
    try:
        call["error"] = None if await ask() else "empty"
    except Exception as error:  # noqa: BLE001 - counted, whatever it is
        call["error"] = type(error).__name__
    call["seconds"] = time.perf_counter() - started
    calls.append(call)


async def offer(ask: Ask, seconds: float) -> list[dict[str, Any]]:
    """Begin a request every so often, however long each takes, and wait for all of them."""
    calls: list[dict[str, Any]] = []
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            group.create_task(_one(ask, calls))
    return calls


async def run(providers: Providers, ask: Ask, ask_fallback: Ask, fault: str) -> dict[str, Any]:
    """Healthy, then a fault of the first provider, then healthy again; the log says what reached it."""
    await offer(ask_fallback, 1.0)  # connections, and what is loaded on first use
    own = await offer(ask_fallback, HEALTHY)
    healthy = await offer(ask, HEALTHY)
    providers.say(fault)
    began = time.time()
    outage = await offer(ask, OUTAGE)
    providers.say("ok")
    after = await offer(ask, AFTER)
    log = [entry for entry in providers.say("log") if entry["mode"] == fault]
    return {"own": own, "healthy": healthy, "outage": outage, "after": after, "began": began, "log": log}
