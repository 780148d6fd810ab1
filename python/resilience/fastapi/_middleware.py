"""The ASGI middleware: everything a request needs from this library, in one pass.

Pure ASGI on purpose: Starlette's `BaseHTTPMiddleware` runs the application in another task, which loses
context variables, delays cancellation and buffers streams.
"""

import logging
from collections.abc import Awaitable
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.fastapi import _correlation
from resilience.fastapi._problems import problem_response
from resilience.fastapi._request_metrics import UNMATCHED, RequestMetrics

_log = logging.getLogger("resilience.fastapi")


class ResilienceMiddleware:
    """Correlation ids, request metrics and active connections around an ASGI application.

    An exception that reaches it before the response began becomes a 500 problem and is logged with its
    correlation id; after that, the server is left to cut the connection.

    Args:
        app: The application.
        metrics: Where requests are counted; a new one by default.
    """

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics | None = None) -> None:
        self.app = app
        self.metrics = metrics if metrics is not None else RequestMetrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = (_correlation.HEADER, identity := _correlation.choose(scope["headers"]))
        status = 0

        def marked(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            return send(message)

        metrics = self.metrics
        metrics.active += 1
        token = _correlation.current.set(identity.decode("ascii"))
        started = perf_counter()
        try:
            await self.app(scope, receive, marked)
        except Exception:
            if status:
                raise
            _log.exception("request %s failed", identity.decode("ascii"))
            await problem_response(HTTPStatus.INTERNAL_SERVER_ERROR)(scope, receive, marked)
        finally:
            metrics.active -= 1
            metrics.observe(scope["method"], route_of(scope), status, perf_counter() - started)
            _correlation.current.reset(token)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = (_correlation.HEADER, identity := _correlation.choose(scope["headers"]))

        def marked(message: Message) -> Awaitable[None]:
            if message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", ()), header]
            return send(message)

        self.metrics.websockets += 1
        token = _correlation.current.set(identity.decode("ascii"))
        try:
            await self.app(scope, receive, marked)
        finally:
            self.metrics.websockets -= 1
            _correlation.current.reset(token)


def route_of(scope: Scope) -> str:
    """Return the template of the route that served a request, so that series stay few whatever the paths."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNMATCHED
