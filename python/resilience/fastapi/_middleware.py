"""The ASGI middleware: everything a request needs from this library, in one pass.

Pure ASGI on purpose: Starlette's `BaseHTTPMiddleware` runs the application in another task, which loses
context variables, delays cancellation and buffers streams.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.fastapi import _body, _correlation
from resilience.fastapi._admission import Admission
from resilience.fastapi._endpoint_call import serve_endpoint
from resilience.fastapi._endpoints import EndpointPolicy, EndpointTable, Priority
from resilience.fastapi._health import Lifecycle
from resilience.fastapi._problems import problem_response
from resilience.fastapi._request_metrics import PROBES, UNMATCHED, RequestMetrics

_NOTHING: dict[str, object] = {}
_CLOSE = (b"connection", b"close")
_READ_HEADERS = frozenset({_correlation.HEADER, b"content-length", b"transfer-encoding"})

Headers = list[tuple[bytes, bytes]]

_log = logging.getLogger("resilience.fastapi")


class ResilienceMiddleware:
    """Correlation ids, metrics, admission, body limits, and each endpoint's breaker, deadline and fallback.

    An exception that reaches it before the response began becomes a 500 problem and is logged with its
    correlation id; after that, the server is left to cut the connection.

    Args:
        app: The application.
        metrics: Where requests are counted; a new one by default.
        endpoints: Settings of single endpoints.
        admission: What is refused under overload; limits in progress at 1,000 by default.
        max_body_bytes: Longest request body where an endpoint sets no other.
        cache: Wraps the application in one that answers from stored responses; none by default.
        lifecycle: While it drains, every connection is closed after its response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics | None = None,
        endpoints: EndpointTable | None = None,
        admission: Admission | None = None,
        max_body_bytes: int = _body.DEFAULT_MAX_BODY,
        cache: Callable[[ASGIApp], ASGIApp] | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        if max_body_bytes < 0:
            raise ValueError(f"max_body_bytes must be at least 0, got {max_body_bytes!r}")
        self.app = app if cache is None else cache(app)
        self.metrics = metrics if metrics is not None else RequestMetrics()
        self._endpoints = endpoints if endpoints is not None else EndpointTable()
        self._admission = admission if admission is not None else Admission()
        self._max_body = max_body_bytes
        self._lifecycle = lifecycle if lifecycle is not None else Lifecycle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        # Few frames and one closure: what is called for each request is most of its price.
        identity, has_body = _read(scope["headers"])
        status = 0
        lifecycle = self._lifecycle

        def marked(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_correlation.HEADER, identity)]
                if lifecycle.is_draining:
                    message["headers"].append(_CLOSE)
            return send(message)

        metrics = self.metrics
        token = _correlation.current.set(identity.decode("ascii"))
        started = perf_counter()
        metrics.active += 1
        try:
            policy = self._endpoints.find(scope)
            if self._refuses(scope, policy):
                busy = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "The service is busy.")
                await busy(scope, receive, marked)
            elif has_body or policy is not None or self._admission.adaptive is not None:
                await self._protect(policy, scope, receive, marked)
            else:
                await self.app(scope, receive, marked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await _answer_instead(error, status)(scope, receive, marked)
        finally:
            metrics.active -= 1
            metrics.observe(scope["method"], route_of(scope), status, perf_counter() - started)
            _correlation.current.reset(token)

    async def _protect(
        self, policy: EndpointPolicy | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Limit a request's body, and serve it by its endpoint's policy."""
        receive = self._with_body_limit(policy, scope, receive)
        app = self.app if policy is None else partial(serve_endpoint, policy, self.app)
        await self._admission.serve(app, scope, receive, send)

    def _refuses(self, scope: Scope, policy: EndpointPolicy | None) -> bool:
        """Decide whether the service is too busy for a request; probes are always served."""
        if scope["path"] in PROBES:
            return False
        priority = Priority.NORMAL if policy is None else policy.config.priority
        return self._admission.refuses(self.metrics.active - 1, priority)

    def _with_body_limit(self, policy: EndpointPolicy | None, scope: Scope, receive: Receive) -> Receive:
        limit = self._max_body
        if policy is not None and policy.config.max_body_bytes is not None:
            limit = policy.config.max_body_bytes
        for name, value in scope["headers"]:
            if name == b"content-length":
                _body.check_announced(value, limit)
                return receive
            if name == b"transfer-encoding":
                return _body.limited(receive, limit)
        return receive

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = _read(scope["headers"])[0]
        header = (_correlation.HEADER, identity)

        def marked(message: Message) -> Awaitable[None]:
            if message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", ()), header]
            return send(message)

        self.metrics.websockets += 1
        token = _correlation.current.set(identity.decode("ascii"))
        started = perf_counter()
        try:
            await self.app(scope, receive, marked)
        finally:
            self.metrics.websockets -= 1
            self.metrics.observe("WEBSOCKET", route_of(scope), 101, perf_counter() - started)
            _correlation.current.reset(token)


def _read(headers: Headers) -> tuple[bytes, bool]:
    """Return the request's correlation id, made when it has no good one, and whether it announces a body."""
    identity, has_body = None, False
    for name, value in headers:
        if name in _READ_HEADERS:
            if name != _correlation.HEADER:
                has_body = True
            elif identity is None:
                identity = _correlation.accepted(value)
    return identity or _correlation.new(), has_body


def _answer_instead(error: Exception, status: int) -> Response:
    """Return what is answered for an exception; raise it on when a response has begun: the server cuts it off."""
    if status:
        raise error
    if isinstance(error, HTTPException):
        return problem_response(error.status_code, error.detail)
    _log.error("request %s failed", _correlation.correlation_id(), exc_info=error)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR)


def route_of(scope: Scope) -> str:
    """Return the template of the route that served a request: few series whatever the paths."""
    # FastAPI's own note has the prefix under which a router was included; a route knows only its router's
    route = scope.get("fastapi", _NOTHING).get("effective_route_context") or scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNMATCHED
