"""Tens of thousands of whatever a visitor may choose: memory, breakers and series stay bounded."""

import gc
import logging
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response

import auth
from resilience import (
    CircuitBreaker,
    CircuitBreakerConfig,
    KeyedCircuitBreaker,
    RateLimitedError,
    get_all_circuit_breakers,
    rate_limit,
)
from resilience.fastapi import install
from resilience.fastapi.response_cache import ResponseCache
from resilience.observability import breaker_families
from resilience.observability._families import MAX_NAMES
from settings import Settings

MANY = 100_000
MOST_ENTRIES = 100
MOST_KEYS = 1_000
VISITORS = 20_000  # of the whole application, which takes its time; its parts are asked 100,000 times
GROWTH = 10.0  # MB; what is kept of each visitor would be more
METHODS = ("GET", "GET", "GET", "POST", "BREW", "x")


def resident_megabytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def grown_by(step, many=MANY):
    """Do something so many times; returns by how many MB the process has grown after the first tenth."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell what a process takes")
    for number in range(many // 10):
        step(number)
    before = resident_megabytes()
    for number in range(many // 10, many):
        step(number)
    return resident_megabytes() - before


def drive(coroutine):
    """Run what never waits, without the price of a loop."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}


def visitor(number, path, **changes):
    """A request of which everything is new that a client may choose."""
    some = b"%d" % number
    headers = [
        (b"host", b"host-" + some), (b"x-correlation-id", b"id-" + some), (b"accept-language", b"l-" + some),
        (b"authorization", b"Bearer " + some), (b"user-agent", b"a-" + some), (b"x-" + some, some),
        (b"cookie", b"session=" + some), (b"traceparent", b"00-%032x-%016x-01" % (number + 1, number + 1)),
    ]  # fmt: skip
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": METHODS[number % len(METHODS)], "scheme": "http", "path": path % number,
        "raw_path": (path % number).encode(), "root_path": "", "query_string": b"q=" + some, "headers": headers,
        "client": (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1), "server": ("s", 80),
    } | changes  # fmt: skip


@pytest.fixture
def service():
    """An application with all of the library around it: cache by subject and Vary, breakers and limits by key."""
    app = FastAPI()
    breakers = KeyedCircuitBreaker(CircuitBreakerConfig(), max_keys=MOST_KEYS)
    limit = rate_limit(1e6, key=lambda who: who, max_keys=MOST_KEYS)

    @app.get("/items/{item}")
    async def item(item: str, request: Request) -> Response:
        who = request.headers["authorization"]
        breakers.for_key(who).call_sync(limit.call_sync, len, who)
        return Response(item, headers={"Vary": "Accept-Language"})

    @app.websocket("/watch/{what}")
    async def watch(websocket: WebSocket, what: str) -> None:
        await websocket.accept()

    def cached(inner):
        by = lambda scope: dict(scope["headers"]).get(b"authorization")  # noqa: E731
        made = ResponseCache(inner, ttl=60, max_entries=MOST_ENTRIES, max_bytes=200_000, subject=by)
        app.state.cached = made.cache
        return made

    app.state.installed = install(app, cache=cached)
    app.state.breakers = breakers
    return app


def test_visitors_who_never_repeat_anything_leave_an_installed_application_as_it_was(service):
    statuses, known = set(), len(get_all_circuit_breakers())

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    def visit(number):
        path = "/items/%d" if number % 5 else "/nowhere/%d"
        drive(service(visitor(number, path), receive, send))

    assert grown_by(visit, VISITORS) < GROWTH
    state = service.state.installed
    assert statuses == {200, 404, 405}
    assert state.metrics.total == VISITORS
    assert len(state.metrics.series) <= 10
    stats = service.state.cached.stats()
    assert 0 < stats["size"] <= MOST_ENTRIES
    assert stats["bytes"] <= 200_000
    assert 0 < len(service.state.breakers) <= MOST_KEYS
    assert len(get_all_circuit_breakers()) <= known + MOST_KEYS
    assert all(len(family.values) <= 10 * MAX_NAMES + 100 for family in breaker_families())


def test_thousands_of_websocket_paths_leave_two_series(service):
    async def arrive():
        return {"type": "websocket.connect"}

    async def send(message):
        pass

    def watch(number):
        path = "/watch/%d" if number % 2 else "/nowhere/%d"
        drive(service(visitor(number, path, type="websocket", scheme="ws", subprotocols=[]), arrive, send))

    assert grown_by(watch, 10_000) < GROWTH
    routes = {route for _, route, _ in service.state.installed.metrics.series}
    assert routes == {"/watch/{what}", "<unmatched>"}
    assert service.state.installed.metrics.websockets == 0


def test_a_hundred_thousand_keys_of_a_limit_are_bounded_also_while_each_is_used_up():
    limit = rate_limit(1, per=3600, key=lambda who: who, max_keys=MOST_KEYS)
    refused = 0

    def call(number):
        nonlocal refused
        for _ in range(2):
            try:
                limit.call_sync(len, f"user-{number}")
            except RateLimitedError:
                refused += 1

    assert grown_by(call) < GROWTH
    assert refused > 0


def test_breakers_that_are_made_by_name_and_let_go_leave_no_trace(caplog):
    # each opening is said, and what is said is kept for the test
    caplog.set_level(logging.CRITICAL, "resilience")
    known = set(get_all_circuit_breakers())

    def trip(number):
        breaker = CircuitBreaker(f"component-{number}", failure_threshold=1)
        breaker.record_failure(ConnectionError(), 0.1)

    assert grown_by(trip, 10_000) < GROWTH
    assert set(get_all_circuit_breakers()) - known <= {"component-9999"}


def test_thousands_of_subjects_and_rubbish_tokens_leave_the_verifier_as_it_was():
    verifier = auth.Verifier(Settings(jwt_secret="s" * 40))

    def verify(number):
        assert verifier.verify(verifier.issue(f"nobody-{number}").access_token) is None
        assert verifier.verify(f"{number}.{number}.{number}") is None

    assert grown_by(verify, 3_000) < GROWTH
