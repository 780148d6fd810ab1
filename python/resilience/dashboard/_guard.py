"""Who may look at the page, and what a browser may do with it."""

import base64
import binascii
import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience._hosts import host_name, is_loopback

MIN_TOKEN_BYTES = 32
_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_token(token: str | None) -> None:
    """Refuse a token that could be guessed.

    Raises:
        TypeError: when it is no text.
        ValueError: when it is shorter than 32 bytes.
    """
    if token is None:
        return
    if not isinstance(token, str):
        raise TypeError(f"token must be a string or None, got {type(token).__name__}")
    if len(token.encode()) < MIN_TOKEN_BYTES:
        raise ValueError(f"token must have at least {MIN_TOKEN_BYTES} bytes")


class Guard:
    """Lets in who brings the token, or, without one, this machine's own user; adds the headers to every answer.

    Args:
        app: the page's application.
        token: as a bearer token or as the password of any user; ``None`` lets requests in that come from this
            machine, by a loopback name and through no proxy.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if self._token is None:
            if _is_local(scope, headers):
                return None
            return PlainTextResponse("Only this machine's own user may look at this page.", 403)
        given = _given(headers.get("authorization", ""))
        if given is not None and hmac.compare_digest(given, self._token.encode()):
            return None
        return PlainTextResponse(
            "A token is needed.", 401, {"WWW-Authenticate": 'Basic realm="resilience", charset="UTF-8"'}
        )


def _given(authorization: str) -> bytes | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("utf-8", "replace")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None


def _is_local(scope: Scope, headers: Headers) -> bool:
    if any(name in headers for name in _FORWARDING):
        return False
    client = scope.get("client")
    named = host_name(headers.get("host", ""))
    return client is not None and is_loopback(client[0]) and is_loopback(named)
