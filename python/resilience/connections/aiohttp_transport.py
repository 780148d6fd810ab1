"""Guarded sessions for aiohttp: ``aiohttp.ClientSession(middlewares=(AiohttpGuard(guard),))``."""

import asyncio
import socket
import sys
from typing import Any
from weakref import WeakSet

import aiohttp

from resilience.connections._guard import GuardedExchange, Target, UpstreamGuard


class AiohttpGuard:
    """A client middleware that passes each request through the breaker and the limits of its host or route.

    Args:
        guard: breakers and limits; one of its own when ``None``.
    """

    def __init__(self, guard: UpstreamGuard | None = None) -> None:
        self._guard = guard or UpstreamGuard()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send one request; its exchange lasts until the connection is free again.

        Raises:
            CircuitOpenError: when the upstream's breaker doesn't let it through.
            BulkheadFullError: when no place in the pool came free in time.
        """
        url = request.url
        host = url.host or ""
        target = Target(request.method, host if url.is_default_port() else f"{host}:{url.port}", url.path)
        exchange = await self._guard.admit(target)
        self._guard.tell_deadline(request.headers)
        try:
            response = await handler(request)
        except BaseException as error:
            exchange.ended(error)
            raise
        exchange.answered(response.status, response.headers)
        _follow(response, exchange)
        return response


def _follow(response: aiohttp.ClientResponse, exchange: GuardedExchange) -> None:
    """End the exchange when the response gives its connection back, or closes it."""
    connection = response.connection
    if connection is None:  # the whole body came with the headers
        exchange.ended()
        return
    content = response.content

    def ended() -> None:
        if content.is_eof():
            exchange.ended()
            return
        error = _reason(content.exception())
        exchange.ended(error, released=error is None and content.total_raw_bytes == 0)

    connection.add_callback(ended)


def _reason(error: BaseException | None) -> BaseException | None:
    """What ended a body early; ``None`` when the caller simply closed it.

    aiohttp marks every early close with a plain ClientConnectionError; why it happened is being handled right now.
    """
    if error is not None and type(error) is not aiohttp.ClientConnectionError:
        return error
    handled = sys.exception()
    return handled if isinstance(handled, (asyncio.CancelledError, TimeoutError)) else None


class CountingConnector(aiohttp.TCPConnector):
    """A connector that knows its connections; who may use them is decided before it."""

    def __init__(self, **settings: Any) -> None:
        self.opened = 0
        self._own_sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__(limit=0, socket_factory=self._make_socket, **settings)

    def _make_socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family=family, type=kind, proto=protocol)
        self.opened += 1
        self._own_sockets.add(made)
        return made

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return sum(1 for sock in list(self._own_sockets) if sock.fileno() >= 0)
