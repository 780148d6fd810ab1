"""A guarded transport for httpx: ``httpx.AsyncClient(transport=GuardedHttpxTransport(guard))``."""

import httpcore
import httpx

from resilience.connections._httpx_family import (
    ConnectionPoolHalf,
    GuardedBody,
    GuardedTransportHalf,
    PooledTransportHalf,
)


class _Body(GuardedBody, httpx.AsyncByteStream):
    """The body as httpx wants it."""


class _ConnectionPool(ConnectionPoolHalf, httpcore.AsyncConnectionPool):
    """A pool of httpcore's that closes what its requests never got to."""


class PooledTransport(PooledTransportHalf[httpx.Limits], httpx.AsyncHTTPTransport):
    """httpx's own transport, HTTP/1.1 without proxies, on a pool that forgets no connection.

    Args:
        verify: ``True``, or a TLS context.
        limits: of the pool.
    """

    _library = httpx
    _network_backend = httpcore.AnyIOBackend
    _connection_pool = _ConnectionPool


class GuardedHttpxTransport(GuardedTransportHalf[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport):
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
    _response = httpx.Response
