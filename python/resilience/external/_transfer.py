"""One GET, with an answer of bounded size, over the library's own connections.

The transport is asked directly: no redirect is followed, no cookie kept, no proxy taken from the environment, and
nothing of a URL, which may hold a key, is logged.
"""

import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resilience.connections._contained import contained
from resilience.connections._optional import require
from resilience.external._errors import AnswerTooLargeError, ApiUnreachableError, MalformedAnswerError

_GZIP = 16 + zlib.MAX_WBITS


@lru_cache(maxsize=1)
def _tls_context() -> Any:
    """Every API's way to verify servers: reading the authorities takes tens of milliseconds."""
    return require("httpx", "http").create_ssl_context()


@dataclass(frozen=True, slots=True)
class Received:
    """An answer."""

    status: int
    headers: Any
    body: bytes


async def _close(response: Any) -> None:
    await response.aclose()


class Transfer:
    """Sends the requests of one API; belongs to the event loop of the first.

    Args:
        api: for errors.
        transport: an httpx transport; one of its own when ``None``.
        timeout: seconds for each step; the whole has a timeout of its own.
        max_bytes: of a body, unpacked.

    Raises:
        ImportError: when httpx isn't installed.
    """

    def __init__(self, api: str, transport: Any, timeout: float, max_bytes: int) -> None:
        self._httpx = require("httpx", "http")
        if transport is None:
            from resilience.connections.httpx_transport import PooledTransport

            transport = PooledTransport(verify=_tls_context())
        self._api = api
        self._transport = transport
        self._timeouts = {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
        self._max_bytes = max_bytes

    async def get(self, url: str, headers: Mapping[str, str], max_bytes: int | None = None) -> Received:
        """Fetch what is there.

        Raises:
            ApiUnreachableError: no HTTP answer came.
            MalformedAnswerError: the body is packed in another way than asked for, or broken.
            AnswerTooLargeError: the body passes `max_bytes`.
        """
        limit = self._max_bytes if max_bytes is None else max_bytes
        try:
            request = self._httpx.Request(
                "GET",
                url,
                headers={**headers, "Accept-Encoding": "gzip"},
                extensions={"timeout": self._timeouts},
            )
            response = await contained(self._transport.handle_async_request(request), undo=_close)
            try:
                body = await self._read(response, limit)
            finally:
                await contained(_close(response))
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            # without its cause: that one holds the request, and so the key
            raise ApiUnreachableError(self._api, f"no answer: {type(error).__name__}") from None
        return Received(response.status_code, response.headers, body)

    async def _read(self, response: Any, limit: int) -> bytes:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip", ""}:
            raise MalformedAnswerError(
                self._api, f"the body is packed as {encoding[:40]!r}, not as asked for"
            )
        if encoding in {"gzip", "x-gzip"}:
            return await self._unpack(response.stream, limit)
        body = bytearray()
        async for chunk in response.stream:
            body += chunk
            self._check_size(len(body), limit)
        return bytes(body)

    async def _unpack(self, chunks: AsyncIterator[bytes], limit: int) -> bytes:
        """Unpack as it comes, and never more than one byte beyond the limit: a bomb stays small."""
        unpacker = zlib.decompressobj(_GZIP)
        body = bytearray()
        received = 0
        try:
            async for chunk in chunks:
                received += len(chunk)
                self._check_size(received, limit)
                if not unpacker.eof:
                    body += unpacker.decompress(chunk, limit + 1 - len(body))
                    self._check_size(len(body), limit)
        except zlib.error:
            raise MalformedAnswerError(self._api, "the body is no gzip") from None
        if received and not unpacker.eof:
            raise MalformedAnswerError(self._api, "the packed body breaks off")
        return bytes(body)

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise AnswerTooLargeError(self._api, f"the answer is larger than {limit} bytes")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
