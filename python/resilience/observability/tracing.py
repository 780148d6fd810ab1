"""OpenTelemetry: a span a request, and what policies decide as events of the span they decide in.

Needs the extra `otel`, which is OpenTelemetry's API alone; whoever wants to see spans brings an SDK. Without a
provider, which has to be set before the first request, requests pass through unmeasured.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from resilience.events import CallFailed, CallRejected, Event, RetryScheduled, SlowCall, StateChanged

try:
    from opentelemetry import propagate, trace
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "resilience.observability.tracing needs OpenTelemetry: pip install 'resilience-native[otel]'",
        name=error.name,
    ) from error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SERVER_ERROR = 500
_NAMED = (StateChanged, CallRejected, CallFailed, SlowCall, RetryScheduled)


class RequestSpans:
    """ASGI middleware: a server span for each request that has none yet, in the trace that its headers continue.

    Attributes follow OpenTelemetry's conventions for HTTP, and `resilience.correlation_id` leads to the logs.

    Args:
        app: The application.
        correlation_id: Returns the id of the request being served.
        route_of: Returns the template of the route that served a request.
    """

    def __init__(
        self, app: App, *, correlation_id: Callable[[], str | None], route_of: Callable[[Scope], str]
    ) -> None:
        self._app = app
        self._correlation_id = correlation_id
        self._route_of = route_of
        self._tracer = trace.get_tracer("resilience")
        self._is_heard: bool | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within a span."""
        if self._is_heard is None:  # looked up once: each look would cost as much as all the rest
            self._is_heard = has_provider()
        if not self._is_heard or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = trace.get_current_span()
        # newer versions of FastAPI, and other middleware, have begun a span already
        if current.is_recording():
            current.set_attribute("resilience.correlation_id", self._correlation_id() or "")
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        context = propagate.extract({n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]})
        with self._tracer.start_as_current_span(method, context=context, kind=trace.SpanKind.SERVER) as span:
            try:
                await self._app(scope, receive, watched)
            finally:
                route = self._route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                        "url.scheme": scope.get("scheme", "http"),
                        "resilience.correlation_id": self._correlation_id() or "",
                    }
                )
                if status >= SERVER_ERROR:
                    span.set_status(trace.StatusCode.ERROR)


def has_provider() -> bool:
    """Return whether anybody listens: an SDK has been set up."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def trace_ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of the current span for a line of the log; nothing outside of one."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def note_event(event: Event) -> None:
    """Add a policy's event to the current span; a listener for `add_listener` of any policy.

    Successes are left out, since the span itself tells of them.
    """
    span = trace.get_current_span()
    if not span.is_recording() or not isinstance(event, _NAMED):
        return
    attributes: dict[str, str | float] = {"resilience.policy": event.name}
    if isinstance(event, StateChanged):
        attributes |= {"resilience.state.old": event.old.value, "resilience.state.new": event.new.value}
    elif isinstance(event, CallRejected) and event.retry_after is not None:
        attributes["resilience.retry_after"] = event.retry_after
    elif isinstance(event, RetryScheduled):
        attributes |= {"resilience.attempt": event.attempt, "resilience.wait": event.wait}
    elif isinstance(event, CallFailed) and event.error is not None:
        attributes["error.type"] = type(event.error).__name__
    span.add_event(f"resilience.{type(event).__name__}", attributes)
