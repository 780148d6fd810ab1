"""A guarded transport for httpx2: ``httpx2.AsyncClient(transport=GuardedHttpx2Transport(guard))``."""

import httpcore2
import httpx2

from resilience.connections._httpx_family import (
    ConnectionPoolHalf,
    GuardedBody,
    GuardedTransportHalf,
    PooledTransportHalf,
)


class _Body(GuardedBody, httpx2.AsyncByteStream):
    """The body as httpx2 wants it."""


class _ConnectionPool(ConnectionPoolHalf, httpcore2.AsyncConnectionPool):
    """A pool of httpcore2's that closes what its requests never got to."""


class PooledTransport(PooledTransportHalf[httpx2.Limits], httpx2.AsyncHTTPTransport):
    """httpx2's own transport, HTTP/1.1 without proxies, on a pool that forgets no connection.

    Args:
        verify: ``True``, or a TLS context.
        limits: of the pool.
    """

    _library = httpx2
    _network_backend = httpcore2.AnyIOBackend
    _connection_pool = _ConnectionPool


class GuardedHttpx2Transport(GuardedTransportHalf[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport):
    """Passes each request through the breaker and the limits of its host or route.

    Args:
        guard: breakers and limits; one of its own when ``None``.
        transport: what speaks to the network; a :class:`PooledTransport` when ``None``.
        **settings: of that one.

    Raises:
        TypeError: for both a transport and settings.
    """

    _pooled_transport = PooledTransport
    _body = _Body
    _response = httpx2.Response
