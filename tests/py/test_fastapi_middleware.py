"""The ASGI middleware and `install`, without a server."""

import asyncio
from itertools import count

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from resilience import CircuitBreaker, CircuitOpenError, State
from resilience._core import ManualClock
from resilience.fastapi import (
    Admission,
    EndpointConfig,
    FastAPIConfig,
    Priority,
    RequestMetrics,
    ResilienceMiddleware,
    correlation_id,
    endpoint,
    install,
    lifespan,
)

PROBLEM = "application/problem+json"
_names = count()


@pytest.fixture
def app():
    return FastAPI()


def client(app) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


def fresh(path: str = "/thing") -> str:
    """A path of its own for each test: breakers are registered by the endpoint's name."""
    return f"{path}-{next(_names)}"


def breaker_of(app: FastAPI, path: str) -> CircuitBreaker:
    policy = app.state.resilience.endpoints.find({"path": path, "method": "GET"})
    assert policy is not None
    assert policy.breaker is not None
    return policy.breaker


THREE = {"failure_threshold": 3, "recovery_timeout": 60}


async def test_an_endpoints_5xx_open_its_breaker_and_no_other(app):
    bad, good = fresh(), fresh()
    install(app, {"endpoints": {bad: {"circuit_breaker": THREE}, good: {"circuit_breaker": THREE}}})
    app.get(bad)(lambda: JSONResponse({}, status_code=502))
    app.get(good)(lambda: {"ok": True})
    async with client(app) as http:
        assert [(await http.get(bad)).status_code for _ in range(5)] == [502, 502, 502, 503, 503]
        rejected = await http.get(bad)
        assert (await http.get(good)).status_code == 200
    assert rejected.headers["Content-Type"] == PROBLEM
    assert 1 <= int(rejected.headers["Retry-After"]) <= 60
    assert breaker_of(app, bad).state is State.OPEN
    assert breaker_of(app, good).state is State.CLOSED
    assert breaker_of(app, good).success_count == 1


async def test_an_endpoints_exceptions_are_500_and_open_its_breaker(app):
    path = fresh()
    install(app, {"endpoints": {path: {"circuit_breaker": THREE}}})

    @app.get(path)
    async def fail():
        raise RuntimeError("a secret detail")

    async with client(app) as http:
        answers = [await http.get(path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [500, 500, 500, 503]
    assert answers[0].headers["Content-Type"] == PROBLEM
    assert "secret" not in answers[0].text
    assert answers[0].headers["X-Correlation-ID"] == answers[0].json()["correlation_id"]


async def test_a_clients_own_mistakes_open_nothing(app):
    path = fresh()
    install(app, {"endpoints": {path: {"circuit_breaker": THREE}}})

    @app.get(path)
    async def refuse(status: int):
        raise HTTPException(status)

    async with client(app) as http:
        for status in (400, 401, 404, 408, 422, 429) * 3:
            assert (await http.get(path, params={"status": status})).status_code == status
    breaker = breaker_of(app, path)
    assert (breaker.state, breaker.failure_count, breaker.success_count) == (State.CLOSED, 0, 0)


async def test_a_rejection_further_in_is_503_but_no_failure_of_the_endpoint(app):
    path = fresh()
    install(app, {"endpoints": {path: {"circuit_breaker": THREE}}})

    @app.get(path)
    async def rejected():
        raise CircuitOpenError("upstream", 7.2)

    async with client(app) as http:
        answers = [await http.get(path) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["Retry-After"] == "8"
    assert breaker_of(app, path).state is State.CLOSED


async def test_a_fallback_is_answered_while_the_breaker_is_open(app):
    path, made = fresh(), fresh()
    install(
        app,
        FastAPIConfig(
            endpoints={
                path: EndpointConfig.from_mapping({"circuit_breaker": THREE, "fallback": {"items": []}}),
                made: EndpointConfig.from_mapping(
                    {"circuit_breaker": THREE, "fallback": lambda request: {"path": request.url.path}}
                ),
            }
        ),
    )
    async with client(app) as http:
        for route, body in ((path, {"items": []}), (made, {"path": made})):
            breaker_of(app, route).force_open()
            answer = await http.get(route)
            assert (answer.status_code, answer.json()) == (200, body)


async def test_a_response_that_does_not_begin_in_time_is_504_and_a_failure(app):
    path = fresh()
    install(app, {"endpoints": {path: {"circuit_breaker": THREE, "timeout": 0.01}}})

    @app.get(path)
    async def hang():
        await asyncio.Event().wait()

    async with client(app) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (504, PROBLEM)
    assert breaker_of(app, path).failure_count == 1


async def test_the_deadline_is_for_the_beginning_so_a_stream_may_take_its_time(app):
    path = fresh()
    install(app, {"endpoints": {path: {"timeout": 5}}})
    deadlines = []

    async def pieces():
        deadlines.append(asyncio.current_task().cancelling())
        yield "a"
        yield "b"

    app.get(path)(lambda: StreamingResponse(pieces()))
    async with client(app) as http:
        assert (await http.get(path)).text == "ab"
    assert deadlines == [0]


async def test_an_applications_own_timeout_error_is_no_504(app):
    path = fresh()
    install(app, {"endpoints": {path: {"timeout": 5}}})

    @app.get(path)
    async def fail():
        raise TimeoutError

    async with client(app) as http:
        assert (await http.get(path)).status_code == 500


async def test_endpoints_are_found_by_template_and_by_method(app):
    base = fresh("/items")
    install(app, {"endpoints": {f"GET {base}/{{item}}": {"circuit_breaker": THREE}}})
    table = app.state.resilience.endpoints
    assert table.find({"path": f"{base}/7", "method": "GET"}) is not None
    assert table.find({"path": f"{base}/7", "method": "POST"}) is None
    assert table.find({"path": f"{base}/7/8", "method": "GET"}) is None


async def test_the_decorator_protects_an_endpoint_once_the_application_runs(app):
    path = fresh()
    install(app)

    @app.get(path)
    @endpoint(circuit_breaker=THREE)
    async def fail():
        raise HTTPException(500)

    async with lifespan(app), client(app) as http:
        assert [(await http.get(path)).status_code for _ in range(4)] == [500, 500, 500, 503]


async def test_the_configuration_overrides_the_decorator(app):
    path = fresh()
    install(app, {"endpoints": {path: {"max_body_bytes": 3}}})

    @app.post(path)
    @endpoint(max_body_bytes=1_000)
    async def take(request: Request):
        return len(await request.body())

    async with lifespan(app), client(app) as http:
        assert (await http.post(path, content=b"abcd")).status_code == 413


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_taken(app, chunked):
    install(app, {"max_body_bytes": 10})
    seen = []

    @app.post("/take")
    async def take(request: Request):
        seen.append(len(await request.body()))
        return seen[-1]

    async def pieces(size):
        for _ in range(size):
            yield b"x"

    async with client(app) as http:
        for size, status in ((10, 200), (11, 413), (0, 200)):
            content = pieces(size) if chunked else b"x" * size
            answer = await http.post("/take", content=content)
            assert answer.status_code == status
    assert max(seen) == 10


async def test_a_busy_service_refuses_what_may_be_shed_first_but_answers_probes(app):
    state = install(
        app,
        {
            "max_active": 4,
            "endpoints": {"/cheap": {"priority": "sheddable"}, "/vital": {"priority": "critical"}},
        },
    )
    for path in ("/cheap", "/plain", "/vital"):
        app.get(path)(lambda: {"ok": True})
    async with client(app) as http:

        async def statuses(active):
            state.metrics.active = active
            return [(await http.get(p)).status_code for p in ("/cheap", "/plain", "/vital", "/healthz")]

        assert await statuses(1) == [200, 200, 200, 200]
        assert await statuses(2) == [503, 200, 200, 200]
        assert await statuses(4) == [503, 503, 200, 200]
        assert await statuses(6) == [503, 503, 503, 200]
        state.metrics.active = 4
        assert (await http.get("/plain")).headers["Retry-After"] == "1"
    assert state.admission.refused == 7


def test_a_lagging_event_loop_sheds_by_priority():
    lag = 0.3
    admission = Admission(max_active=100, max_lag=0.2, lag=lambda: lag)
    assert admission.refuses(0, Priority.SHEDDABLE)
    assert not admission.refuses(0, Priority.NORMAL)
    lag = 0.5
    assert admission.refuses(0, Priority.NORMAL)
    assert not admission.refuses(0, Priority.CRITICAL)


async def test_the_correlation_id_is_known_in_the_endpoint_and_gone_afterwards(app):
    install(app)
    app.get("/id")(correlation_id)
    async with client(app) as http:
        answer = await http.get("/id", headers={"X-Correlation-ID": "order-7"})
    assert answer.json() == "order-7"
    assert correlation_id() is None


@pytest.mark.parametrize(
    "bad", [b"a\r\nX-Evil: 1", b"a\nb", b"x" * 1_000_000, "\u00fc".encode(), b"", b"a b"]
)
async def test_a_correlation_id_that_could_do_harm_is_replaced(bad):
    sent = []

    async def app(scope: Scope, receive: Receive, send: Send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-correlation-id", bad)]}
    await ResilienceMiddleware(app)(scope, None, send)
    [(name, value)] = sent[0]["headers"]
    assert name == b"x-correlation-id"
    assert len(value) == 32
    assert value.isalnum()


async def test_ten_thousand_paths_leave_one_series(app):
    state = install(app)
    app.get("/items/{item}")(lambda item: item)
    async with client(app) as http:
        for number in range(300):
            await http.get(f"/items/{number}")
            await http.get(f"/nothing/{number}", headers={"X-Correlation-ID": f"id-{number}"})
    assert set(state.metrics.series) == {("GET", "/items/{item}", 200), ("GET", "<unmatched>", 404)}
    assert state.metrics.series["GET", "/items/{item}", 200].count == 300


async def test_requests_in_progress_are_counted_and_leave_when_cancelled(app):
    state = install(app)
    begun = asyncio.Event()

    @app.get("/wait")
    async def wait():
        begun.set()
        await asyncio.Event().wait()

    async with client(app) as http:
        request = asyncio.create_task(http.get("/wait"))
        await begun.wait()
        assert state.metrics.active == 1
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert state.metrics.active == 0


def test_the_last_minute_is_summarised_and_forgotten():
    clock = ManualClock(1_000.0)
    metrics = RequestMetrics(clock=clock)
    for status, seconds in ((200, 0.010), (200, 0.020), (500, 0.100)):
        metrics.observe("GET", "/x", status, seconds)
    clock.advance(30)
    minute = metrics.last_minute()
    assert (minute.requests, minute.errors, minute.span) == (3, 1, 30.0)
    assert minute.mean == pytest.approx(0.130 / 3)
    assert minute.p50 == pytest.approx(0.020, rel=0.1)
    assert minute.p99 == pytest.approx(0.100, rel=0.1)
    assert minute.success_rate == pytest.approx(2 / 3)
    clock.advance(31)
    assert metrics.last_minute().requests == 0
    assert metrics.last_minute().p99 is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"max_active": 0}, "max_active"),
        ({"max_body_bytes": -1}, "max_body_bytes"),
        ({"max_lag": 0}, "max_lag"),
        ({"surprise": 1}, "surprise"),
        ({"endpoints": {"/x": {"timeout": 0}}}, "timeout"),
        ({"endpoints": {"/x": {"max_body_bytes": -1}}}, "max_body_bytes"),
        ({"endpoints": {"/x": {"priority": "urgent"}}}, "priority"),
        ({"endpoints": {"/x": {"surprise": 1}}}, "surprise"),
    ],
)
def test_a_bad_setting_is_refused_by_name(app, config, named):
    with pytest.raises(ValueError, match=named):
        install(app, config)


def test_the_openapi_document_declares_problems_and_when_to_come_back(app):
    install(app)
    app.post("/things/{number}")(lambda number: number)

    @app.put("/things/{number}")
    async def put(number: int, body: dict[str, int]):
        return body

    document = app.openapi()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for status in ("429", "503"):
                assert "Retry-After" in operation["responses"][status]["headers"]
    responses = document["paths"]["/things/{number}"]["put"]["responses"]
    for status in ("400", "413", "422", "500"):
        assert PROBLEM in responses[status]["content"]
