"""The ASGI middleware: everything a request needs from this library, in one pass.

Pure ASGI on purpose: Starlette's `BaseHTTPMiddleware` runs the application in another task, which loses
context variables, delays cancellation and buffers streams.

The pass itself is native (`request_gate.hpp`): it names and counts a request, and lets one through that is surely
admitted, has no body and no settings of its own. Whatever needs a decision is here.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience import _core
from resilience.fastapi import _body, _correlation
from resilience.fastapi._admission import Admission
from resilience.fastapi._endpoint_call import serve_endpoint
from resilience.fastapi._endpoints import EndpointPolicy, EndpointTable, Priority
from resilience.fastapi._error_log import ErrorLog
from resilience.fastapi._health import Lifecycle
from resilience.fastapi._problems import http_problem, problem_response, rejection_problem, status_of
from resilience.fastapi._request_metrics import RequestMetrics

_ANSWERS_OF_WEBSOCKETS = frozenset({"websocket.accept", "websocket.http.response.start"})


class ResilienceMiddleware(_core.RequestGate):
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
        tracing: Wraps that once more, when the first request comes; not at all by default.
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
        tracing: Callable[[ASGIApp], ASGIApp] | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        if max_body_bytes < 0:
            raise ValueError(f"max_body_bytes must be at least 0, got {max_body_bytes!r}")
        self.metrics = metrics if metrics is not None else RequestMetrics()
        self._admission = admission if admission is not None else Admission()
        self._max_body = max_body_bytes
        self._errors = ErrorLog()
        endpoints = endpoints if endpoints is not None else EndpointTable()
        inner = app if cache is None else cache(app)
        super().__init__(
            inner if tracing is None else _Untraced(self, inner, tracing),
            metrics=self.metrics._machine,  # noqa: SLF001 - the native pass counts directly
            endpoints=endpoints,
            endpoint_names=endpoints.names,
            admission=self._admission,
            lifecycle=lifecycle if lifecycle is not None else Lifecycle(),
            correlation=_correlation.current,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._pass(scope, receive, send)

    async def _serve_closely(
        self, policy: EndpointPolicy | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request that may be refused, has a body to limit, or an endpoint's policy."""
        if self._refuses(scope, policy):
            busy = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "The service is busy.")
            await busy(scope, receive, send)
            return
        receive = self._with_body_limit(policy, scope, receive)
        app = self.app if policy is None else partial(serve_endpoint, policy, self.app)
        await self._admission.serve(app, scope, receive, send)

    def _refuses(self, scope: Scope, policy: EndpointPolicy | None) -> bool:
        """Decide whether the service is too busy for a request; probes are always served."""
        if _core.RequestMetrics.is_probe(scope["path"]):
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

    def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer in place of the application, which failed before its response began."""
        return _response_to(error, self._errors)(scope, receive, send)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.get(_correlation.IN_SCOPE) or _core.read_headers(scope["headers"])[0]
        scope[_correlation.IN_SCOPE] = identity

        def marked(message: Message) -> Awaitable[None]:
            if message["type"] in _ANSWERS_OF_WEBSOCKETS:
                given = [pair for pair in message.get("headers", ()) if pair[0] != _correlation.HEADER]
                message["headers"] = [*given, (_correlation.HEADER, identity)]
            return send(message)

        self.metrics.websockets += 1
        token = _correlation.current.set(identity.decode("ascii"))
        started = perf_counter()
        try:
            await self.app(scope, receive, marked)
        finally:
            self.metrics.websockets -= 1
            self.metrics.observe("WEBSOCKET", _core.route_of(scope), 101, perf_counter() - started)
            _correlation.current.reset(token)


ResilienceMiddleware._call_natively()  # noqa: SLF001 - of its own base


class _Untraced:
    """Stands in for the traced application until the first request, when whoever wants to see traces has said so."""

    def __init__(
        self, gate: ResilienceMiddleware, app: ASGIApp, tracing: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        self.app = app
        self._gate = gate
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._gate.app = self._tracing(self.app)
            await self._gate.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _response_to(error: Exception, log: ErrorLog) -> Response:
    if isinstance(error, HTTPException):
        return http_problem(error, error.headers)
    if status_of(error) is not HTTPStatus.INTERNAL_SERVER_ERROR:
        return rejection_problem(error)
    log.tell(error)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR)
