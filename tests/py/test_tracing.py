"""Spans of requests, events of policies in them, and the ids in the log."""

import json
import logging

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import json_logs
from resilience import CircuitBreaker, CircuitOpenError
from resilience.fastapi import install
from resilience.observability import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def app(spans):
    app = FastAPI()
    install(app)
    return app


async def get(app, path, headers=None):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        return await http.get(path, headers=headers)


def server_span(spans):
    """The one span of the request itself: newer versions of FastAPI make some of its parts."""
    (span,) = [span for span in spans.get_finished_spans() if span.kind is trace.SpanKind.SERVER]
    return span


async def test_a_request_is_a_span_in_the_trace_of_its_caller(app, spans):
    app.get("/items/{item}")(lambda item: item)
    answer = await get(app, "/items/7", {"traceparent": PARENT})
    span = server_span(spans)
    assert span.name == "GET /items/{item}"
    assert span.kind is trace.SpanKind.SERVER
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["resilience.correlation_id"] == answer.headers["x-correlation-id"]


@pytest.mark.parametrize(("status", "code"), [(404, trace.StatusCode.UNSET), (503, trace.StatusCode.ERROR)])
async def test_where_nobody_began_a_span_one_is_made_and_a_server_error_marks_it(spans, status, code):
    async def plain(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    spanned = tracing.RequestSpans(plain, correlation_id=lambda: "id-1", route_of=lambda _scope: "/a")
    await get(spanned, "/a", {"traceparent": PARENT})
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, span.status.status_code) == ("GET /a", trace.SpanKind.SERVER, code)
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["resilience.correlation_id"] == "id-1"


async def test_what_a_breaker_decides_is_an_event_of_the_span(app, spans):
    breaker = CircuitBreaker("traced", failure_threshold=1)
    breaker.add_listener(tracing.note_event)

    @app.get("/guarded")
    async def guarded():
        for error in (OSError, CircuitOpenError):
            with pytest.raises(error):
                await breaker.call(fail)

    async def fail():
        raise OSError

    await get(app, "/guarded")
    events = [event for span in spans.get_finished_spans() for event in span.events]
    assert [event.name for event in events] == [
        "resilience.CallFailed",
        "resilience.StateChanged",
        "resilience.CallRejected",
    ]
    assert events[1].attributes["resilience.state.new"] == "open"


async def test_without_a_provider_nothing_is_traced(monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    app = FastAPI()
    install(app)
    app.get("/")(tracing.trace_ids)
    assert (await get(app, "/")).json() == {}


async def test_a_line_of_the_log_is_json_with_the_ids_of_its_request_and_trace(app, spans):
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(self.format(record)))

    handler = Kept()
    handler.setFormatter(json_logs.json_formatter())
    log = logging.getLogger("resilience.test")
    log.addHandler(handler)

    @app.get("/")
    async def root():
        log.warning("something %s", "happened", extra={"size": 3})

    try:
        answer = await get(app, "/", {"traceparent": PARENT})
    finally:
        log.removeHandler(handler)
    (line,) = lines
    assert (line["event"], line["level"], line["size"]) == ("something happened", "warning", 3)
    assert line["correlation_id"] == answer.headers["x-correlation-id"]
    assert line["trace_id"] == PARENT.split("-")[1]
    assert len(line["span_id"]) == 16
