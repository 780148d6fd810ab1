"""What the guarded transports of httpx and httpx2 share: two libraries of one interface and different classes.

Only their public interface is used: an inner transport and its answer.
"""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from resilience.connections._contained import contained
from resilience.connections._generations import Generations
from resilience.connections._guard import GuardedExchange, Target, UpstreamGuard

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


async def close_transport(transport: Any) -> None:
    """Close an inner transport."""
    await transport.aclose()


async def _close(response: Any) -> None:
    await response.aclose()


class GuardedTransportMixin:
    """Sends requests through a guard; the classes of each library give it their transport and response.

    Replacing the inner transport while requests are under way loses none: each ends where it began.
    """

    _transports: Generations[Any]
    _guard: UpstreamGuard

    def _make_response(self, response: Any, body: GuardedBody) -> Any:
        raise NotImplementedError

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
        body = GuardedBody(response.stream, exchange, functools.partial(self._transports.leave, used))
        return self._make_response(response, body)

    def replace(self, transport: Any) -> None:
        """Send what comes from now on through another inner transport; the old one closes once it is unused."""
        self._transports.replace(transport)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transports.close()
