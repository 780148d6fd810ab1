"""What keeps a service safe whatever is sent to it; `docs/guarantees.md` lists every promise with its test."""

import ast
import asyncio
import logging
import math
from pathlib import Path

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

from resilience import CircuitBreaker, CircuitOpenError
from resilience._retry_after import from_headers
from resilience.fastapi import (
    AdminPolicy,
    Admission,
    Priority,
    RequestMetrics,
    ResilienceMiddleware,
    install,
    lifespan,
    require_admin,
)
from resilience.fastapi._problems import whole_seconds
from resilience.fastapi.response_cache import ResponseCache
from resilience.observability._prometheus import render

ROOT = Path(__file__).parents[2]
MANY = 100_000
TOKEN = "t" * 40


def client(app, **settings):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, **settings)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


# ---- memory stays bounded ----


async def nothing():
    return {"type": "http.request", "body": b"", "more_body": False}


class Ok:
    """An application that answers everything and knows no routes."""

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def request(number, method="GET"):
    headers = [
        (b"host", b"service"),
        (b"x-correlation-id", b"id-%d" % number),
        (b"x-%d" % number, b"%d" % number),
    ]
    query = b"key=%d" % number
    return {
        "type": "http", "method": method, "scheme": "http", "path": f"/{number}", "query_string": query,
        "headers": headers,
    }  # fmt: skip


async def drop(_message):
    return None


def drive(coroutine):
    """Run what never waits, without the price of a loop."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_a_hundred_thousand_paths_headers_and_methods_leave_a_handful_of_series():
    metrics = RequestMetrics()
    middleware = ResilienceMiddleware(Ok(), metrics=metrics)
    for number in range(MANY):
        drive(middleware(request(number, f"METHOD{number}"), nothing, drop))
    assert set(metrics.series) == {("OTHER", "<unmatched>", 200)}
    assert metrics.total == MANY
    assert metrics.active == 0


def test_a_hundred_thousand_addresses_leave_the_response_cache_within_its_bounds():
    cache = ResponseCache(Ok(), ttl=60.0, max_entries=100, max_bytes=100_000)
    for number in range(MANY):
        drive(cache(request(number), nothing, drop))
    stats = cache.cache.stats()
    assert 0 < stats["size"] <= 100
    assert stats["bytes"] <= 100_000


def test_a_hundred_thousand_keys_leave_breakers_and_their_series_bounded():
    from resilience import CircuitBreakerConfig, KeyedCircuitBreaker, get_all_circuit_breakers
    from resilience.observability import breaker_families

    breakers = KeyedCircuitBreaker(CircuitBreakerConfig(), max_keys=1_000)
    known = len(get_all_circuit_breakers())
    for number in range(MANY):
        breakers.for_key(number)
    assert len(breakers) <= 1_000
    assert len(get_all_circuit_breakers()) <= known + 1_000
    assert all(len(family.values) <= 5_100 for family in breaker_families())


async def test_five_thousand_event_streams_are_capped_and_the_rest_told_when_to_come_back():
    app, over = FastAPI(), asyncio.Event()

    @app.get("/events")
    async def events():
        async def stream():
            yield "data: 1\n\n"
            await over.wait()

        return StreamingResponse(stream(), media_type="text/event-stream")

    state = install(app, {"max_active": 500})
    statuses = []

    async def watch():
        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append((message["status"], dict(message["headers"]).get(b"retry-after")))
                if len(statuses) == 5_000:
                    over.set()

        async def receive():
            await over.wait()
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "GET", "path": "/events", "headers": [], "query_string": b""}
        await app(
            {**scope, "asgi": {"version": "3.0"}, "scheme": "http", "server": ("service", 80)}, receive, send
        )

    await asyncio.gather(*(watch() for _ in range(5_000)))
    assert statuses.count((200, None)) == 500
    assert statuses.count((503, b"1")) == 4_500
    assert state.metrics.active == 0


def test_a_watcher_that_does_not_read_is_dropped_and_nothing_piles_up():
    from live_events import MAX_WAITING, LiveEvents

    events = LiveEvents()
    with events.session() as slow:
        for number in range(MAX_WAITING + 1):
            events.publish("step", number=number)
        assert (events.sessions, events.dropped) == (0, 1)
        assert (slow.qsize(), slow.get_nowait()) == (1, None)


# ---- what is said, and to whom ----


@pytest.mark.parametrize(
    "said", ["-1", "nan", "inf", "-inf", "1e999", "soon", "", "0x10", "Fri, 99 Foo 0000"]
)
def test_a_senseless_retry_after_is_ignored(said):
    assert from_headers({"retry-after": said}, 1_700_000_000.0) is None


def test_an_ancient_date_asks_for_no_wait_and_a_huge_one_is_clamped_by_the_breaker():
    assert from_headers({"retry-after": "Wed, 21 Oct 1970 07:28:00 GMT"}, 1_700_000_000.0) == 0.0
    breaker = CircuitBreaker(recovery_timeout=10, max_recovery_timeout=60)
    breaker.trip(from_headers({"retry-after": "1000000000"}, 1_700_000_000.0))
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call_sync(lambda: None)
    assert caught.value.retry_after <= 60


@pytest.mark.parametrize("seconds", [None, math.nan, math.inf, -5.0, 0.0, 0.2])
def test_what_is_answered_as_retry_after_is_always_whole_seconds_from_one_on(seconds):
    assert whole_seconds(seconds) == "1"


async def test_errors_show_no_traceback_and_health_no_host_version_or_path():
    app = FastAPI()

    @app.get("/bad")
    async def bad():
        raise RuntimeError(f"secret of {__file__}")

    async def refused():
        raise ConnectionError("cannot reach db.internal:5432 (server 16.1)")

    state = install(app)
    state.dependencies.add("database", refused, required=True)
    async with lifespan(app), client(app) as http:
        answers = [await http.get(path) for path in ("/bad", "/health", "/ready", "/nothing")]
    assert [answer.status_code for answer in answers] == [500, 503, 503, 404]
    for answer in answers:
        assert not any(
            word in answer.text for word in ("Traceback", __file__, "secret", "db.internal", "16.1")
        )
        assert "server" not in answer.headers


async def test_secrets_reach_no_log_metric_answer_or_representation(caplog):
    app = FastAPI()
    policy = AdminPolicy(TOKEN)

    @app.post("/admin", dependencies=[Depends(require_admin)])
    async def admin(request: Request) -> str:
        raise RuntimeError("it failed")

    state = install(app, admin=policy)
    headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": "session=cookie-secret"}
    with caplog.at_level(logging.DEBUG, "resilience"):
        async with lifespan(app), client(app) as http:
            answers = [await http.post("/admin?key=query-secret", headers=headers), await http.get("/health")]
    metrics = render(await state.sources.gather()).decode()
    shown = [caplog.text, repr(policy), repr(state), metrics, *(answer.text for answer in answers)]
    assert "it failed" in caplog.text
    assert "POST '/admin' by the admin token" in caplog.text
    for text in shown:
        assert not any(secret in text for secret in (TOKEN, "cookie-secret", "query-secret"))


async def test_an_admin_by_another_token_is_let_in_by_name_and_nobody_else(caplog):
    app = FastAPI()
    app.post("/admin", dependencies=[Depends(require_admin)])(lambda: "done")
    install(app, admin=AdminPolicy(name_of={"good": "ann"}.get))
    statuses = []
    with caplog.at_level(logging.INFO, "resilience.audit"):
        async with client(app) as http:
            for token in ("good", "bad", TOKEN):
                answer = await http.post("/admin", headers={"Authorization": f"Bearer {token}"})
                statuses.append(answer.status_code)
    assert statuses == [200, 403, 403]
    assert "by ann" in caplog.text


# ---- the code itself ----

MODULES = [*(ROOT / "python").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
}


def unsafe_uses(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ({alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            yield from ({(node.module or "").split(".")[0]} & FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            yield from ({ast.unparse(node.func)} & FORBIDDEN_CALLS)
            if any(word.arg == "shell" for word in node.keywords):
                yield "shell"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_evaluates_or_loads_yaml_unsafely(path):
    assert list(unsafe_uses(ast.parse(path.read_text()))) == []


def test_an_unsafe_use_would_be_seen():
    source = "import pickle\nfrom marshal import loads\neval('1')\nyaml.load(x)\nsubprocess.run('ls', shell=True)\n"
    assert list(unsafe_uses(ast.parse(source))) == ["pickle", "marshal", "eval", "yaml.load", "shell"]


def test_admission_holds_its_limit_whatever_the_load():
    admission = Admission(max_active=10)
    admitted = sum(not admission.refuses(active, Priority.NORMAL) for active in range(1_000))
    assert (admitted, admission.refused) == (10, 990)
