"""What the connection pool gains: pooled against unpooled requests, measured on a socket.

The pool's own client sends the same request to an endpoint on loopback that does no work, over a kept connection and
over a new one in turn, without TLS and with it. The fastest of each decide, so that what else the machine does
meanwhile doesn't.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from resilience.connections import ConnectionManager
from services import Services, in_background

ROUNDS = 40
PROBE_INTERVAL, RETRY_INTERVAL = 300.0, 10.0
SCHEMES = ("http", "https")


class PoolingProbe:
    """The gain by scheme, empty until it was measured, and why."""

    def __init__(self, connections: ConnectionManager) -> None:
        self._connections = connections
        self.improvement: dict[str, float] = {}
        self.reason: str | None = "not measured yet"

    @property
    def least(self) -> float | None:
        """The smallest gain over the schemes, as a fraction of the unpooled time."""
        return min(self.improvement.values(), default=None)

    async def measure(self) -> None:
        """Measure each scheme, and keep the results, or the reason why there are none."""
        try:
            found = await self._connections.measure_improvement(rounds=ROUNDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server does without the figure
            self.improvement = {}  # what was true some minutes ago is no measurement of now
            self.reason = f"the probe failed: {type(error).__name__}"
            return
        self.improvement = {each.scheme: each.fraction for each in found}
        missing = [scheme for scheme in SCHEMES if scheme not in self.improvement]
        self.reason = f"not measured: {', '.join(missing)}" if missing else None


def attach(_app: FastAPI, services: Services) -> None:
    """Measure at start-up and again every five minutes, sooner after a probe that failed."""
    probe = services.pooling = PoolingProbe(services.connections)

    async def repeat() -> None:
        while True:
            await asyncio.sleep(PROBE_INTERVAL if probe.improvement else RETRY_INTERVAL)
            await probe.measure()

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await probe.measure()
        async with in_background(repeat(), "pooling-probe"):
            yield

    services.while_running(running)
