"""Bounded clients of httpx and httpx2, made for one provider; each library is imported only where it is used."""

import functools
import importlib
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.bounded import BoundedBody, BoundedTransportMixin

_CONNECT_TIMEOUT = 10.0  # seconds; how long an answer may take is the provider's own timeout
_KEPT = 20  # idle connections; how many are in use at once is the provider's ``max_concurrent``


def bounded_client(library_name: str, provider: str, limit: int, extra: str, secret: str | None) -> Any:
    """A client of ``"httpx"`` or ``"httpx2"`` whose answers are bounded to `limit` bytes.

    Args:
        library_name: whose classes the client library wants.
        provider: for errors.
        limit: bytes of an answer, decompressed.
        extra: of this package, that brings the library.
        secret: what is to be blotted out of the provider's error messages.

    Raises:
        ImportError: naming the extra, where the library is missing.
    """
    library = require(library_name, extra)
    return library.AsyncClient(
        transport=bounded_transport(library_name, provider, limit, secret),
        timeout=library.Timeout(None, connect=_CONNECT_TIMEOUT),
    )


def bounded_transport(library_name: str, provider: str, limit: int, secret: str | None) -> Any:
    """The transport below such a client."""
    library = importlib.import_module(library_name)
    pooled = importlib.import_module(f"resilience.connections.{library_name}_transport").PooledTransport
    limits = library.Limits(max_connections=None, max_keepalive_connections=_KEPT)
    return _class_for(library)(pooled(limits=limits), provider, limit, secret)


@functools.cache
def _class_for(library: Any) -> Any:
    """The transport of either library: one interface, different base classes."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, body: BoundedBody) -> None:
            self._body = body

        def __aiter__(self) -> Any:
            return self._body.__aiter__()

        async def aclose(self) -> None:
            await self._body.aclose()

    class Transport(BoundedTransportMixin, library.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, inner: Any, provider: str, limit: int, secret: str | None) -> None:
            self._inner, self._provider, self._limit, self._secret = inner, provider, limit, secret

        def _make_response(self, response: Any, headers: Any, body: BoundedBody) -> Any:
            return library.Response(
                response.status_code, headers=headers, stream=Body(body), extensions=response.extensions
            )

    return Transport
