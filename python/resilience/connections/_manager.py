"""The pools of a service, in one place: opened, warmed, watched, resized and closed together."""

import asyncio
import ssl
from types import TracebackType
from typing import Any, Self

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._core import Clock
from resilience._types import type_name
from resilience.connections import _improvement
from resilience.connections._config import ConnectionConfig, check_count
from resilience.connections._guard import Key, UpstreamGuard, by_host
from resilience.connections._http_pools import HttpClientName, HttpPool, http_pool, http_slots, resized
from resilience.connections._improvement import Improvement
from resilience.connections._optional import require

_CLIENTS = ("aiohttp", "httpx", "httpx2")


class ConnectionManager:
    """An HTTP pool and a Redis pool, bounded, guarded and measured.

    ``http`` and ``redis`` are the libraries' own clients, made on first use inside a running event loop, to which
    the manager then belongs. Every HTTP request passes the breaker of its host and takes a place in the pool until
    its body has ended; the Redis client's own retries are off. Cancelled requests keep no place.

    Args:
        config: sizes and timeouts.
        http_client: the library behind ``http``: ``"aiohttp"`` (the cheapest a request), ``"httpx"`` or ``"httpx2"``.
        redis_url: where Redis is; ``None`` for a service without it.
        breaker: settings of the hosts' breakers.
        key: what shares a breaker, by default each host.
        verify: how to verify HTTPS servers: ``True``, or a context of one's own.
        deadline_header: tells upstreams how long a request's caller will still wait; see :class:`UpstreamGuard`.
        clock: the breakers' clock; sockets time out by the event loop's.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for an unknown `http_client`.
    """

    def __init__(
        self,
        config: ConnectionConfig | None = None,
        *,
        http_client: HttpClientName = "aiohttp",
        redis_url: str | None = None,
        breaker: CircuitBreakerConfig | None = None,
        key: Key = by_host,
        verify: ssl.SSLContext | bool = True,
        deadline_header: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if config is not None and not isinstance(config, ConnectionConfig):
            raise TypeError(f"config must be a ConnectionConfig or None, got {type_name(config)}")
        if http_client not in _CLIENTS:
            raise ValueError(f"http_client must be one of {', '.join(_CLIENTS)}, got {http_client!r}")
        if redis_url is not None and not isinstance(redis_url, str):
            raise TypeError(f"redis_url must be a string or None, got {type_name(redis_url)}")
        self._config = config or ConnectionConfig()
        self._client: HttpClientName = http_client
        self._redis_url = redis_url
        self._verify = verify
        self._slots = http_slots(self._config)
        self._guard = UpstreamGuard(
            breaker=breaker, key=key, slots=self._slots, deadline_header=deadline_header, clock=clock
        )
        self._http: HttpPool | None = None
        self._redis: tuple[Any, Any] | None = None
        self._improvements: list[Improvement] = []
        self._closed = False

    @property
    def config(self) -> ConnectionConfig:
        """The present settings."""
        return self._config

    @property
    def guard(self) -> UpstreamGuard:
        """Breakers and places of the HTTP pool, for transports that should share them."""
        return self._guard

    @property
    def http(self) -> Any:
        """The HTTP client: an ``aiohttp.ClientSession`` or an ``AsyncClient`` of httpx or httpx2.

        Raises:
            ImportError: when the library isn't installed.
            RuntimeError: after :meth:`close`, or without a running event loop.
        """
        return self._http_pool().client

    @property
    def redis(self) -> Any:
        """The ``redis.asyncio.Redis`` client.

        Raises:
            ImportError: when redis isn't installed.
            RuntimeError: when there is no `redis_url`, or after :meth:`close`.
        """
        return self._redis_pool()[0]

    def _http_pool(self) -> HttpPool:
        if self._http is None:
            self._check_usable()
            self._http = http_pool(self._client, self._config, self._guard, self._verify)
        return self._http

    def _redis_pool(self) -> tuple[Any, Any]:
        if self._redis is None:
            self._check_usable()
            if self._redis_url is None:
                raise RuntimeError("this manager has no redis_url")
            require("redis", "redis")
            from resilience.connections.redis_pool import redis_client

            self._redis = redis_client(self._redis_url, self._config)
        return self._redis

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("this manager is closed")
        asyncio.get_running_loop()

    async def warm(self, *urls: str, connections: int = 10) -> None:
        """Open connections before the first request needs them.

        Args:
            *urls: one HTTP address a host; each gets `connections` requests at once, with ``HEAD``.
            connections: how many for each, and for Redis; no more than the pool holds.

        Raises:
            TypeError: when `connections` is no whole number.
            ValueError: when it is out of range.
            Exception: whatever opening a connection raises.
        """
        check_count("connections", connections)
        per_host = self._config.http_per_host or self._config.http_pool_size
        count = min(connections, per_host, self._config.http_pool_size)
        for url in urls:  # started together, none finds a connection of another's to reuse
            pool = self._http_pool()
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(pool.head(url))
        if self._redis_url is not None:
            await self._redis_pool()[1].warm(connections)

    async def resize(
        self,
        *,
        http_pool_size: int | None = None,
        http_per_host: int | None = None,
        redis_pool_size: int | None = None,
    ) -> None:
        """Change sizes while in use: what is under way ends as it began, and surplus connections close when idle.

        Args:
            http_pool_size: HTTP connections in all, in the range that the configuration allows; ``None`` leaves it.
            http_per_host: those to one host, likewise.
            redis_pool_size: Redis connections, likewise.

        Raises:
            TypeError: for a size that is no whole number.
            ValueError: for a size out of range; nothing is changed.
        """
        self._config = resized(
            self._config,
            http_pool_size=http_pool_size,
            http_per_host=http_per_host,
            redis_pool_size=redis_pool_size,
        )
        self._slots.resize(self._config.http_pool_size, self._config.http_per_host)
        if self._http is not None and http_pool_size is not None:
            await self._http.resize(self._config)
        if self._redis is not None and redis_pool_size is not None:
            pool = self._redis[1]
            pool.slots.resize(redis_pool_size, None)
            await pool.trim()

    async def measure_improvement(
        self, *, rounds: int = 60, upstream_latency: float = 0.0
    ) -> list[Improvement]:
        """Measure what this pool saves by reuse on a loopback endpoint that does no work, without TLS and with it.

        Args:
            rounds: pairs of requests, 1 to 65,535.
            upstream_latency: seconds the endpoint waits before it answers.

        Returns:
            one comparison a scheme; the one with TLS is left out where cryptography isn't installed.
        """
        check_count("rounds", rounds)
        found = await _improvement.measure(
            self._client, self._config, rounds=rounds, latency=upstream_latency
        )
        if not upstream_latency:
            self._improvements = found
        return found

    def stats(self) -> dict[str, Any]:
        """Return the figures of each pool, JSON-ready; ``reuse_rate`` is a fraction, ``None`` before any request."""
        http: dict[str, Any] = {"client": self._client, **self._slots.stats()}
        http |= _use(self._slots.granted, self._slots.in_use, self._http)
        report = {"http": http}
        if self._redis_url is not None:
            pool = self._redis[1] if self._redis is not None else None
            base = pool.slots.stats() if pool is not None else {"size": self._config.redis_pool_size}
            report["redis"] = base | _use(base.get("granted", 0), base.get("in_use", 0), pool)
        report["improvement"] = {each.scheme: each.report() for each in self._improvements}
        return report

    async def close(self) -> None:
        """Close every connection; may be called again."""
        self._closed = True
        http, self._http = self._http, None
        redis, self._redis = self._redis, None
        try:
            if http is not None:
                await http.close()
        finally:
            if redis is not None:
                await redis[0].aclose()
                await redis[1].disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()


def _use(granted: int, in_use: int, pool: Any) -> dict[str, Any]:
    opened, connections = (pool.opened, pool.connections) if pool is not None else (0, 0)
    return {
        "opened": opened,
        "idle": max(0, connections - in_use),
        "reuse_rate": max(0.0, 1.0 - opened / granted) if granted else None,
    }
