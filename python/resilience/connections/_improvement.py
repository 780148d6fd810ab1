"""What reusing connections saves: the same client, the same endpoint, with reuse and without.

Both sides take turns and the fastest of many requests stands for each: what else the machine does can only add time.
"""

import dataclasses
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from resilience.connections._config import ConnectionConfig
from resilience.connections._guard import UpstreamGuard
from resilience.connections._http_pools import HttpClientName, http_pool, http_slots
from resilience.connections._loopback import loopback_endpoint, self_signed


@dataclass(frozen=True, slots=True)
class Improvement:
    """Request times with and without connection reuse.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        upstream_latency: seconds that the endpoint took for each answer.
        pooled: seconds of the fastest request over a kept connection.
        unpooled: seconds of the fastest request that opened a connection of its own.
    """

    scheme: str
    upstream_latency: float
    pooled: float
    unpooled: float

    @property
    def fraction(self) -> float:
        """The share of an unpooled request's time that pooling saves."""
        return 1.0 - self.pooled / self.unpooled

    def report(self) -> dict[str, Any]:
        """Return the figures, JSON-ready."""
        return {
            "scheme": self.scheme,
            "upstream_latency_ms": self.upstream_latency * 1e3,
            "pooled_ms": round(self.pooled * 1e3, 4),
            "unpooled_ms": round(self.unpooled * 1e3, 4),
            "improvement": f"{self.fraction:.1%}",
        }


async def compare(
    client: HttpClientName,
    url: str,
    *,
    config: ConnectionConfig,
    rounds: int,
    verify: ssl.SSLContext | bool = True,
    latency: float = 0.0,
) -> Improvement:
    """Time requests to `url` in alternating rounds, with reuse and without.

    Args:
        client: the client library.
        url: where to.
        config: of the pool; the other side differs in that it keeps no connection.
        rounds: pairs of requests.
        verify: how to verify the server.
        latency: seconds the endpoint is known to take, for the report.
    """
    apart = dataclasses.replace(config, enable_connection_reuse=False)
    pools = [
        http_pool(client, each, UpstreamGuard(slots=http_slots(each), listed=False), verify)
        for each in (config, apart)
    ]
    times: tuple[list[float], list[float]] = ([], [])
    try:
        for pool in pools:
            await pool.head(url)
        for _ in range(rounds):
            for pool, taken in zip(pools, times, strict=True):
                taken.append(await _time(lambda pool=pool: pool.head(url)))  # type: ignore[misc]
    finally:
        for pool in pools:
            await pool.close()
    return Improvement(url.partition(":")[0], latency, min(times[0]), min(times[1]))


async def _time(request: Callable[[], Awaitable[None]]) -> float:
    started = perf_counter()
    await request()
    return perf_counter() - started


async def measure(
    client: HttpClientName, config: ConnectionConfig, *, rounds: int, latency: float = 0.0
) -> list[Improvement]:
    """Compare on an endpoint of loopback that does no work: without TLS, and with it where cryptography is there."""
    found = []
    async with loopback_endpoint(delay=latency) as url:
        found.append(await compare(client, url, config=config, rounds=rounds, latency=latency))
    try:
        server, verify = self_signed()
    except ImportError:
        return found
    async with loopback_endpoint(tls=server, delay=latency) as url:
        found.append(await compare(client, url, config=config, rounds=rounds, verify=verify, latency=latency))
    return found
