"""What the guarded transports of httpx and httpx2 share: two libraries of one interface and different classes.

Each class here is one half of a class; the other half is the library's own, which its client asks for. The modules
named after the libraries join the halves and say nothing else.
"""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from resilience.connections._contained import contained
from resilience.connections._generations import Generations
from resilience.connections._guard import GuardedExchange, Target, UpstreamGuard
from resilience.connections._httpx_pool import Connection, Network

TransportT = TypeVar("TransportT")
LimitsT = TypeVar("LimitsT")

_DEFAULT_PORTS = {"http": 80, "https": 443}


def target_of(request: Any) -> Target:
    """Read where a request goes."""
    url = request.url
    default = url.port is None or url.port == _DEFAULT_PORTS.get(url.scheme)
    return Target(request.method, url.host if default else f"{url.host}:{url.port}", url.path)


class GuardedBody:
    """A response body that ends its exchange: regularly, by an error, or by being closed early."""

    def __init__(self, inner: Any, exchange: GuardedExchange, free: Callable[[], None]) -> None:
        self._inner = inner
        self._exchange = exchange
        self._free: Callable[[], None] | None = free
        self._begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body's chunks."""
        try:
            async for chunk in self._inner:
                self._begun = True
                yield chunk
        except GeneratorExit:
            raise  # left early; closing tells
        except BaseException as error:
            await self._close(error, released=False)
            raise
        await self._close(None, released=False)

    async def aclose(self) -> None:
        """Close the body; early, it counts as a success when some of it had come."""
        await self._close(None, released=not self._begun)

    async def _close(self, error: BaseException | None, *, released: bool) -> None:
        free, self._free = self._free, None
        if free is None:
            return
        try:
            await contained(self._inner.aclose())
        except BaseException as closing:
            error = error or closing
            raise
        finally:  # the place is free only now, when the connection is
            self._exchange.ended(error, released=released and error is None)
            free()


class ConnectionPoolHalf:
    """A pool of httpcore's whose connections are closed when the request they were made for never gets to them."""

    def create_connection(self, origin: Any) -> Any:
        """Make a connection that has not been opened."""
        return Connection(super().create_connection(origin))  # type: ignore[misc]  # the library's half has it


class PooledTransportHalf(Generic[LimitsT]):
    """The library's own transport on a pool that forgets no connection."""

    _library: Any  # httpx, or what has its names
    _network_backend: Any  # httpcore's class
    _connection_pool: Any  # a class made of a `ConnectionPoolHalf`

    def __init__(self, *, verify: Any = True, limits: LimitsT | None = None) -> None:
        chosen: Any = limits or self._library.Limits()
        context = self._library.create_ssl_context(verify=verify)
        settings: dict[str, Any] = {"verify": context, "limits": chosen}
        super().__init__(**settings)  # the library's half takes them
        self.network = Network(self._network_backend())
        self._pool = self._connection_pool(
            ssl_context=context,
            max_connections=chosen.max_connections,
            max_keepalive_connections=chosen.max_keepalive_connections,
            keepalive_expiry=chosen.keepalive_expiry,
            network_backend=self.network,
        )


async def _close_transport(transport: Any) -> None:
    await transport.aclose()


async def _close(response: Any) -> None:
    await response.aclose()


class GuardedTransportHalf(Generic[TransportT]):
    """Sends requests through a guard.

    Replacing the inner transport while requests are under way loses none: each ends where it began.
    """

    _pooled_transport: Any  # a class made of a `PooledTransportHalf`
    _body: Any  # a class made of a `GuardedBody`
    _response: Any  # the library's class

    def __init__(
        self, guard: UpstreamGuard | None = None, *, transport: TransportT | None = None, **settings: Any
    ) -> None:
        if transport is not None and settings:
            raise TypeError("give either a transport or settings for one")
        self._guard = guard or UpstreamGuard()
        self._transports: Generations[Any] = Generations(
            transport or self._pooled_transport(**settings), _close_transport
        )

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request; its exchange lasts until the body of the answer has ended.

        Raises:
            CircuitOpenError: when the upstream's breaker doesn't let it through.
            BulkheadFullError: when no place in the pool came free in time.
        """
        exchange = await self._guard.admit(target_of(request))
        self._guard.tell_deadline(request.headers)
        used = self._transports.enter()
        try:
            response = await contained(used.resource.handle_async_request(request), undo=_close)
        except BaseException as error:
            exchange.ended(error)
            self._transports.leave(used)
            raise
        exchange.answered(response.status_code, response.headers)
        body = self._body(response.stream, exchange, functools.partial(self._transports.leave, used))
        return self._response(
            status_code=response.status_code,
            headers=response.headers,
            stream=body,
            extensions=response.extensions,
        )

    def replace(self, transport: TransportT) -> None:
        """Send what comes from now on through another inner transport; the old one closes once it is unused."""
        self._transports.replace(transport)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transports.close()
