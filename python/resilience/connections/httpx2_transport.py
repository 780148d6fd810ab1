"""A guarded transport for httpx2: ``httpx2.AsyncClient(transport=GuardedHttpx2Transport(guard))``."""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpcore2
import httpx2

from resilience.connections._generations import Generations
from resilience.connections._guard import UpstreamGuard
from resilience.connections._httpx_family import GuardedBody, GuardedTransportMixin, close_transport
from resilience.connections._httpx_pool import Connection, Network


class _Body(httpx2.AsyncByteStream):
    """The body as httpx2 wants it."""

    def __init__(self, body: GuardedBody) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        await self._body.aclose()


class _Pool(httpcore2.AsyncConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        return cast("httpcore2.AsyncConnectionInterface", Connection(super().create_connection(origin)))


class PooledTransport(httpx2.AsyncHTTPTransport):
    """httpx2's own transport, HTTP/1.1 without proxies, on a pool that forgets no connection.

    Args:
        verify: ``True``, or a TLS context.
        limits: of the pool.
    """

    def __init__(self, *, verify: Any = True, limits: httpx2.Limits | None = None) -> None:
        limits = limits or httpx2.Limits()
        context = httpx2.create_ssl_context(verify=verify)
        super().__init__(verify=context, limits=limits)
        self.network = Network(httpcore2.AnyIOBackend())
        self._pool = _Pool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=cast("httpcore2.AsyncNetworkBackend", self.network),
        )


class GuardedHttpx2Transport(GuardedTransportMixin, httpx2.AsyncBaseTransport):
    """Passes each request through the breaker and the limits of its host or route.

    Args:
        guard: breakers and limits; one of its own when ``None``.
        transport: what speaks to the network; a :class:`PooledTransport` when ``None``.
        **settings: of that one.

    Raises:
        TypeError: for both a transport and settings.
    """

    def __init__(
        self,
        guard: UpstreamGuard | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        **settings: Any,
    ) -> None:
        if transport is not None and settings:
            raise TypeError("give either a transport or settings for one")
        self._guard = guard or UpstreamGuard()
        self._transports = Generations(transport or PooledTransport(**settings), close_transport)

    def _make_response(self, response: Any, body: GuardedBody) -> httpx2.Response:
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Body(body),
            extensions=response.extensions,
        )
