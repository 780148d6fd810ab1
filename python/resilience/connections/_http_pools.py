"""The HTTP pools of a manager: one client library each, the same places, breakers and figures for all."""

import asyncio
import dataclasses
import importlib
from types import ModuleType
from typing import Any, Literal, Protocol

from resilience.connections._config import ConnectionConfig
from resilience.connections._guard import UpstreamGuard
from resilience.connections._optional import require
from resilience.connections._slots import Slots

HttpClientName = Literal["aiohttp", "httpx", "httpx2"]


class HttpPool(Protocol):
    """What a manager asks of a client library."""

    client: Any

    @property
    def opened(self) -> int:
        """Connections opened so far."""

    @property
    def connections(self) -> int:
        """Connections that are open."""

    async def resize(self, config: ConnectionConfig) -> None:
        """Take new limits; what is under way ends as it began."""

    async def head(self, url: str) -> None:
        """Make one request whose answer doesn't matter."""

    async def close(self) -> None:
        """Close every connection."""


class HttpxPool:
    """A pool of httpx or httpx2.

    Args:
        module: the library.
        transports: our own module of its transports.
        config: limits and timeouts.
        guard: breakers and places.
        verify: how to verify servers, as the library takes it.
    """

    def __init__(
        self,
        module: ModuleType,
        transports: ModuleType,
        config: ConnectionConfig,
        guard: UpstreamGuard,
        verify: Any,
    ) -> None:
        self._module = module
        self._verify = module.create_ssl_context(verify=verify)  # takes long: once, not at each resize
        self._transports = transports
        self._plain = self._make_plain(config)
        self._opened_before = 0
        guarded = getattr(transports, f"Guarded{module.__name__.title()}Transport")
        self._transport = guarded(guard, transport=self._plain)
        self.client = module.AsyncClient(
            transport=self._transport,
            timeout=module.Timeout(
                config.http_read_timeout, connect=config.http_connection_timeout, pool=None
            ),
        )

    def _make_plain(self, config: ConnectionConfig) -> Any:
        kept = config.http_pool_size if config.enable_connection_reuse else 0
        limits = self._module.Limits(
            max_connections=None,  # the guard's places bound them
            max_keepalive_connections=kept,
            keepalive_expiry=config.http_keepalive_timeout,
        )
        return self._transports.PooledTransport(verify=self._verify, limits=limits)

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        opened: int = self._plain.network.opened
        return self._opened_before + opened

    @property
    def connections(self) -> int:
        """Connections that are open, without those of before a resize."""
        connections: int = self._plain.network.connections
        return connections

    async def resize(self, config: ConnectionConfig) -> None:
        """Send what comes from now on through a transport of the new limits."""
        self._opened_before = self.opened
        self._plain = self._make_plain(config)
        self._transport.replace(self._plain)

    async def head(self, url: str) -> None:
        """Make one request whose answer doesn't matter."""
        await self.client.head(url)

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()


class AiohttpPool:
    """A pool of aiohttp; its connector bounds nothing by itself, so resizing is the guard's work alone."""

    def __init__(self, config: ConnectionConfig, guard: UpstreamGuard, verify: Any) -> None:
        aiohttp = require("aiohttp", "http")
        from resilience.connections.aiohttp_transport import AiohttpGuard, CountingConnector

        reuse: dict[str, Any] = {"force_close": True}
        if config.enable_connection_reuse:
            reuse = {"keepalive_timeout": config.http_keepalive_timeout}
        self._connector = CountingConnector(ssl=verify, **reuse)
        self.client = aiohttp.ClientSession(
            connector=self._connector,
            middlewares=(AiohttpGuard(guard),),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=config.http_connection_timeout, sock_read=config.http_read_timeout
            ),
        )

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        return self._connector.opened

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._connector.connections

    async def resize(self, config: ConnectionConfig) -> None:
        """Nothing to do: idle connections beyond the limit leave after the keep-alive time."""

    async def head(self, url: str) -> None:
        """Make one request whose answer doesn't matter."""
        async with self.client.head(url) as response:
            await response.read()

    async def close(self) -> None:
        """Close every connection, and let the loop finish closing them."""
        await self.client.close()
        await asyncio.sleep(0)


def http_slots(config: ConnectionConfig) -> Slots:
    """Make the places of an HTTP pool."""
    return Slots(
        "http pool",
        config.http_pool_size,
        per_key=config.http_per_host,
        max_wait=config.http_pool_timeout,
        max_waiting=config.max_waiting,
    )


def http_pool(name: HttpClientName, config: ConnectionConfig, guard: UpstreamGuard, verify: Any) -> HttpPool:
    """Make the pool of a client library.

    Raises:
        ImportError: when that library isn't installed.
        ValueError: when there is no such library.
    """
    if name == "aiohttp":
        return AiohttpPool(config, guard, verify)
    if name in ("httpx", "httpx2"):
        module = require(name, "http")
        transports = importlib.import_module(f"resilience.connections.{name}_transport")
        return HttpxPool(module, transports, config, guard, verify)
    raise ValueError(f"http_client must be 'aiohttp', 'httpx' or 'httpx2', got {name!r}")


def resized(config: ConnectionConfig, **sizes: int | None) -> ConnectionConfig:
    """Return `config` with those sizes that are given."""
    given: dict[str, Any] = {key: size for key, size in sizes.items() if size is not None}
    return dataclasses.replace(config, **given)
