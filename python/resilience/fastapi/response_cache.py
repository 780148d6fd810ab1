"""Whole responses from memory, before routing: the freshness rules of RFC 9111 for a cache that is the server's own.

What may be personal is not kept: answers to requests with ``Authorization`` or a cookie, unless they say
``public`` or the cache is told who asks (`subject`), answers with ``Set-Cookie``, ``private``, ``no-store`` or
``no-cache``, and whatever varies by ``*``. The key holds host, path, query, the subject and every header that the
answer names in ``Vary``. A change (any unsafe method that succeeds) forgets what is kept of its path.
"""

import hashlib
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from dataclasses import dataclass
from typing import Any

from resilience._cache.local import Cache
from resilience._core import Clock, response_key

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
_Key = tuple[str, bytes | None, str, bytes, Hashable]  # scheme, host, path, query, subject

_READS = frozenset({"GET", "HEAD"})
_HARMLESS = _READS | {"OPTIONS", "TRACE"}
_NEVER = frozenset({b"private", b"no-store", b"no-cache"})
_OK = 200
_NOT_MODIFIED = 304
_FIRST_ERROR = 400
_LONGEST_TTL = 365 * 86_400.0
# What a 304 repeats (RFC 9110, 15.4.5).
_REPEATED = frozenset({b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"})


@dataclass(frozen=True, slots=True)
class _Stored:
    """One answer."""

    headers: Headers
    body: bytes
    etag: bytes
    stored_at: float
    route: Any  # which made it, for metrics


@dataclass(frozen=True, slots=True)
class _Varies:
    """An answer of this address depends on these request headers; the answers are kept by their values."""

    names: tuple[bytes, ...]


class ResponseCache:
    """ASGI middleware that keeps answers to ``GET`` and serves them again.

    Args:
        app: the application.
        ttl: seconds that an answer without ``max-age`` is kept; ``None`` keeps only those that say so themselves.
        max_entries: most answers.
        max_bytes: most bytes of all answers with their headers.
        max_body: most bytes of one body; longer ones pass through.
        subject: names who asks, from the scope, as ``scope["user"].id``; personal answers are then kept by it, and
            not at all where it returns ``None``.
        serves: tells whether a path is to be cached; every one by default.
        clock: where time comes from; the system's clock when ``None``.
    """

    def __init__(
        self,
        app: App,
        *,
        ttl: float | None = None,
        max_entries: int = 1024,
        max_bytes: int = 64 * 1024 * 1024,
        max_body: int = 1024 * 1024,
        subject: Callable[[Scope], Hashable] | None = None,
        serves: Callable[[str], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_body < 1:
            raise ValueError(f"max_body must be an integer >= 1, got {max_body}")
        self._app = app
        self._ttl = ttl
        self._max_body = max_body
        self._subject = subject
        self._serves = serves
        self.cache: Cache[Hashable, _Stored | _Varies] = Cache(
            max_entries, ttl=ttl, max_bytes=max_bytes, weigher=_weigh, name="responses", clock=clock
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a plain hit from here, since frames are most of its price."""
        if scope["type"] != "http" or (self._serves is not None and not self._serves(scope["path"])):
            await self._app(scope, receive, send)
            return
        if scope["method"] != "GET":
            await self._serve_closely(scope, receive, send)
            return
        key = response_key(scope, self._subject)
        if key is None:
            await self._serve_closely(scope, receive, send)
            return
        found = self.cache.get(key)
        if type(found) is not _Stored:
            await self._serve_other_than_plain(key, found, scope, receive, send)
            return
        scope["route"] = found.route
        headers = [*found.headers, self._age_of(found)]  # whoever sends it on may change it
        await send({"type": "http.response.start", "status": _OK, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def _serve_closely(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a change, a `HEAD`, or a request with conditions or wishes of its own."""
        method = scope["method"]
        if method not in _READS:
            await self._change(scope, receive, send)
            return
        wanted = _request_headers(scope["headers"])
        asked = _directives(wanted[b"cache-control"]) if b"cache-control" in wanted else {}
        if b"no-store" in asked or b"range" in wanted:
            await self._app(scope, receive, send)
            return
        subject = None if self._subject is None else self._subject(scope)
        key = (scope["scheme"], wanted.get(b"host"), scope["path"], scope["query_string"], subject)
        stored = None if b"no-cache" in asked else self._chosen(key, self.cache.get(key), wanted)
        await self._serve(key, stored, wanted, scope, receive, send)

    async def _serve_other_than_plain(
        self, key: _Key, found: _Stored | _Varies | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a `GET` of which nothing is stored, or more than one answer."""
        wanted = _request_headers(scope["headers"])
        await self._serve(key, self._chosen(key, found, wanted), wanted, scope, receive, send)

    async def _serve(
        self,
        key: _Key,
        stored: _Stored | None,
        wanted: dict[bytes, bytes],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        method = scope["method"]
        if stored is not None:
            scope["route"] = stored.route
            start, body = self._answer(stored, method, wanted)
            await send(start)
            await send(body)
        elif method == "HEAD":
            await self._app(scope, receive, send)
        else:
            await self._load(key, wanted, scope, receive, send)

    def _chosen(
        self, key: _Key, found: _Stored | _Varies | None, wanted: dict[bytes, bytes]
    ) -> _Stored | None:
        """Return the stored answer for these request headers."""
        if isinstance(found, _Varies):
            found = self.cache.get((key, _values(found.names, wanted)))
        return found if isinstance(found, _Stored) else None

    async def _load(
        self, key: _Key, wanted: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        recorder = _Recorder(send, self._max_body)
        token = self.cache._begin_load()  # noqa: SLF001 - a change meanwhile must not be undone
        try:
            await self._app(scope, receive, recorder)
            self._keep(scope, wanted, key, recorder, token)
        finally:
            self.cache._end_load(token)  # noqa: SLF001

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = _FIRST_ERROR

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status < _FIRST_ERROR:  # before the client knows: it may ask again at once
                    self.cache.invalidate_tags(scope["path"])
            await send(message)

        await self._app(scope, receive, watch if scope["method"] not in _HARMLESS else send)

    def _answer(self, stored: _Stored, method: str, wanted: dict[bytes, bytes]) -> tuple[Message, Message]:
        if b"if-none-match" in wanted and _matches(wanted[b"if-none-match"], stored.etag):
            headers = [header for header in stored.headers if header[0] in _REPEATED]
            status, body = _NOT_MODIFIED, b""
        else:
            headers, status, body = stored.headers, _OK, stored.body if method == "GET" else b""
        start = {"type": "http.response.start", "status": status, "headers": [*headers, self._age_of(stored)]}
        return start, {"type": "http.response.body", "body": body}

    def _age_of(self, stored: _Stored) -> tuple[bytes, bytes]:
        return (b"age", b"%d" % max(0, int(self.cache._now() - stored.stored_at)))  # noqa: SLF001

    def _keep(
        self, scope: Scope, wanted: dict[bytes, bytes], key: _Key, recorder: "_Recorder", token: int
    ) -> None:
        body = recorder.body()
        if recorder.status != _OK or body is None:
            return
        headers = _headers_of(recorder.headers)
        is_personal = b"authorization" in wanted or b"cookie" in wanted
        subject = key[-1]  # none: nobody has said whose credentials these are
        ttl = self._ttl_of(headers, is_personal=is_personal and subject is None)
        names = _vary(headers)
        if ttl is None or names is None or not self.cache._token_valid(token, key, (scope["path"],)):  # noqa: SLF001
            return
        etag = headers.get(b"etag") or b'"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
        kept = [
            (name.lower(), value) for name, value in recorder.headers if name.lower() not in {b"age", b"etag"}
        ]
        if b"content-length" not in headers:
            kept.append((b"content-length", b"%d" % len(body)))
        headers_kept = [*kept, (b"etag", etag)]
        stored = _Stored(headers_kept, body, etag, self.cache._now(), scope.get("route"))  # noqa: SLF001
        tags = (scope["path"],)
        if names:
            self.cache.set(key, _Varies(names), ttl, tags)
            self.cache.set((key, _values(names, wanted)), stored, ttl, tags)
        else:
            self.cache.set(key, stored, ttl, tags)

    def _ttl_of(self, headers: dict[bytes, bytes], *, is_personal: bool) -> float | None:
        """Return how long an answer may be kept, ``None`` for not at all."""
        said = _directives(headers.get(b"cache-control", b""))
        if b"set-cookie" in headers or not _NEVER.isdisjoint(said):
            return None
        if is_personal and b"public" not in said:
            return None
        for name in (b"s-maxage", b"max-age"):
            if name in said:
                seconds = said[name]
                return min(float(seconds), _LONGEST_TTL) or None if seconds.isdigit() else None
        return self._ttl


class _Recorder:
    """Passes an answer on and remembers it, as far as its body is short enough."""

    __slots__ = ("_chunks", "_complete", "_room", "_send", "headers", "status")

    def __init__(self, send: Send, max_body: int) -> None:
        self._send = send
        self._room = max_body
        self._chunks: list[bytes] = []
        self._complete = False
        self.headers: Headers = []
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            chunk = message.get("body", b"")
            self._room -= len(chunk)
            if self._room >= 0:
                self._chunks.append(bytes(chunk))
            else:
                self._chunks.clear()
            self._complete = not message.get("more_body", False)
        await self._send(message)

    def body(self) -> bytes | None:
        """Return the whole body; ``None`` when it was too long or broke off."""
        return b"".join(self._chunks) if self._complete and self._room >= 0 else None


def _request_headers(headers: Any) -> dict[bytes, bytes]:
    """Return a request's headers, whose names are lower-case by the rules of ASGI."""
    found = dict(headers)
    return found if len(found) == len(headers) else _headers_of(headers)


def _headers_of(headers: Any) -> dict[bytes, bytes]:
    """Return headers by their lower-case name; those given more than once are joined, as RFC 9110 has it."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        found[lower] = found[lower] + b", " + value if lower in found else value
    return found


def _directives(value: bytes) -> dict[bytes, bytes]:
    found = {}
    for part in value.split(b",") if value else ():
        name, _, argument = part.strip().partition(b"=")
        found[name.lower()] = argument.strip(b'"')
    return found


def _vary(headers: dict[bytes, bytes]) -> tuple[bytes, ...] | None:
    """Return the request headers that an answer depends on, ``None`` when it depends on more than those."""
    names = {name.strip().lower() for name in headers.get(b"vary", b"").split(b",")} - {b""}
    return None if b"*" in names else tuple(sorted(names))


def _values(names: tuple[bytes, ...], wanted: dict[bytes, bytes]) -> tuple[bytes | None, ...]:
    return tuple(wanted.get(name) for name in names)


def _matches(condition: bytes, etag: bytes) -> bool:
    """Compare weakly, as ``If-None-Match`` wants it."""
    tags = {tag.strip().removeprefix(b"W/") for tag in condition.split(b",")}
    return b"*" in tags or etag.removeprefix(b"W/") in tags


def _weigh(key: Any, value: _Stored | _Varies) -> int:
    size = 256 + sum(len(part) for part in key if isinstance(part, (str, bytes)))
    if isinstance(value, _Stored):
        size += len(value.body) + sum(len(name) + len(content) + 64 for name, content in value.headers)
    return size
