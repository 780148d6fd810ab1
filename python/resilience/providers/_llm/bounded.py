"""Answers of bounded size, and one error for every refusal, whichever client library asked.

A transport stands below the client library: it raises `ProviderStatusError` for a status that is no success, before
the library makes an error of its own of it, and passes bodies on decompressed, up to a bound. A library that reads
"the whole body" therefore never reads more than that.
"""

import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from time import time
from typing import Any

from resilience._retry_after import from_headers
from resilience.connections._contained import contained
from resilience.providers._llm.errors import (
    AnswerTooLargeError,
    MalformedAnswerError,
    ProviderError,
    ProviderStatusError,
    from_status,
)

_REASON_BYTES = 16_384  # of an error's body that are read
_REASON_CHARACTERS = 500  # of its message that are kept
_PIECE = 65_536  # bytes decompressed at a time
_DIGITS = 18  # of a Content-Length that are read: more are no number, and any such is too large
_OK = range(200, 300)

answered: ContextVar[list[int] | None] = ContextVar("resilience_llm_answered", default=None)


class BoundedBody:
    """The body of an answer, decompressed, at most `limit` bytes of it.

    Args:
        provider: whose it is.
        inner: the body as it came.
        encoding: its ``Content-Encoding``.
        limit: bytes.
    """

    def __init__(self, provider: str, inner: Any, encoding: str, limit: int) -> None:
        self._provider = provider
        self._inner = inner
        self._limit = limit
        self._left = limit
        self._inflate = None if encoding in {"", "identity"} else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield it piece by piece.

        Raises:
            AnswerTooLargeError: where it goes on beyond the bound.
            MalformedAnswerError: where it can't be decompressed.
        """
        async for chunk in self._inner:
            for piece in self._pieces(chunk):
                self._left -= len(piece)
                if self._left < 0:
                    await self.aclose()
                    raise too_large(self._provider, self._limit)
                yield piece

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            yield chunk
            return
        try:
            while chunk:
                yield self._inflate.decompress(chunk, _PIECE)
                chunk = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise MalformedAnswerError(self._provider, "the answer's compression is broken") from error

    async def aclose(self) -> None:
        """Close the connection, or give it back after a whole body."""
        if not self._closed:
            self._closed = True
            await contained(self._inner.aclose())


def too_large(provider: str, limit: int) -> AnswerTooLargeError:
    """The error for an answer beyond its bound."""
    return AnswerTooLargeError(provider, f"the answer is larger than {limit} bytes (max_response_bytes)")


class BoundedTransportMixin:
    """Sends requests for one provider; the classes of each library give it their transport and response."""

    _provider: str
    _limit: int
    _secret: str | None
    _inner: Any

    def _make_response(self, response: Any, headers: Any, body: BoundedBody) -> Any:
        raise NotImplementedError

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request.

        Raises:
            ProviderStatusError: for an answer that is no success, redirects included.
            AnswerTooLargeError: for one that announces more than the bound.
            MalformedAnswerError: for one in an encoding that nobody asked for.
        """
        request.headers["accept-encoding"] = "gzip"
        response = await contained(self._inner.handle_async_request(request), undo=_close)
        note = answered.get()
        if note is not None:
            note.append(response.status_code)
        try:
            return await self._checked(response)
        except BaseException:
            await contained(response.aclose())
            raise

    async def _checked(self, response: Any) -> Any:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        known = encoding in {"", "identity", "gzip", "x-gzip", "deflate"}
        if response.status_code not in _OK:
            raise await self._refusal(response, encoding if known else "identity")
        if not known:
            raise MalformedAnswerError(
                self._provider, f"the answer is encoded as {encoding[:40]!r}, which was not asked for"
            )
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and int(announced[:_DIGITS]) > self._limit:
            raise too_large(self._provider, self._limit)
        headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in _ENCODING_HEADERS]
        return self._make_response(
            response, headers, BoundedBody(self._provider, response.stream, encoding, self._limit)
        )

    async def _refusal(self, response: Any, encoding: str) -> ProviderStatusError:
        if response.is_redirect:
            return from_status(
                self._provider, response.status_code, "it redirects, which is not followed", None
            )
        read = bytearray()
        with contextlib.suppress(ProviderError):  # what it says is of less weight than that it refuses
            async for piece in BoundedBody(self._provider, response.stream, encoding, _REASON_BYTES):
                read += piece
        wait = from_headers(response.headers, time())
        said = reason_in(bytes(read))
        if self._secret:
            said = said.replace(self._secret, "[key]")
        return from_status(self._provider, response.status_code, said[:_REASON_CHARACTERS], wait)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._inner.aclose()


_ENCODING_HEADERS = frozenset({"content-encoding", "content-length"})


async def _close(response: Any) -> None:
    await response.aclose()


def reason_in(body: bytes) -> str:
    """What the body of a refusal says, shortened; looked for where the providers put it."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = body.decode("utf-8", "replace")
    for _ in range(3):
        if isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, dict):
            inner = said.get("error", said.get("message", said.get("detail")))
            if inner is None:
                break
            said = _with_code(said, inner)
    return str(said).strip()


def _with_code(outer: dict[str, Any], inner: Any) -> Any:
    code = outer.get("code")
    return f"{inner} ({code})" if isinstance(inner, str) and isinstance(code, str) else inner
