"""What the connection pool gains: pooled against unpooled requests, measured on a socket.

Both sides send the same request, alternately, to an endpoint that does no work; the unpooled side opens a
connection for each. The gain is of the medians, so that one slow request decides nothing.
"""

import asyncio
import contextlib
import ssl
import statistics
from collections.abc import AsyncIterator
from time import perf_counter

import httpx
from fastapi import FastAPI

from services import Services

ROUNDS = 30
PROBE_INTERVAL = 300.0
PROBE_PATH = "/ping"


class PoolingProbe:
    """The gain by scheme, None until it was measured, and why."""

    def __init__(self) -> None:
        self.improvement: dict[str, float] = {}
        self.reason: str | None = "not measured yet"

    @property
    def least(self) -> float | None:
        """The smallest gain over the schemes, as a fraction of the unpooled time."""
        return min(self.improvement.values(), default=None)

    async def measure(self, scheme: str, url: str, *, verify: bool | ssl.SSLContext = True) -> None:
        """Measure one scheme, and keep the result or the reason why there is none."""
        try:
            self.improvement[scheme] = await gain(url, verify=verify)
            self.reason = None
        except httpx.HTTPError as error:
            self.reason = f"the upstream did not answer the probe: {type(error).__name__}"


async def gain(url: str, *, verify: bool | ssl.SSLContext = True) -> float:
    """Return how much of an unpooled request's time a pooled one saves, as a fraction."""
    one_each = httpx.Limits(max_keepalive_connections=0)
    pooled: list[float] = []
    unpooled: list[float] = []
    async with (
        httpx.AsyncClient(verify=verify) as keeping,
        httpx.AsyncClient(verify=verify, limits=one_each) as opening,
    ):
        for round_number in range(ROUNDS + 1):
            for client, times in ((keeping, pooled), (opening, unpooled)):
                started = perf_counter()
                (await client.get(url)).raise_for_status()
                if round_number:  # the first warms both up
                    times.append(perf_counter() - started)
    slow = statistics.median(unpooled)
    return (slow - statistics.median(pooled)) / slow


def attach(_app: FastAPI, services: Services) -> None:
    """Measure at start-up and again every five minutes, where the server has an upstream of its own."""
    probe = services.pooling = PoolingProbe()

    async def repeat() -> None:
        while True:
            local = services.local_upstream
            if local is None:
                probe.reason = "only measured against the server's own upstream: others charge for requests"
                return
            await probe.measure("http", local.url + PROBE_PATH)
            await asyncio.sleep(PROBE_INTERVAL)

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        task = asyncio.create_task(repeat(), name="pooling-probe")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    services.while_running(running)
