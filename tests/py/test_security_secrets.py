"""Secrets that a service was configured with: nothing that it says, shows, measures or raises has one in it."""

import base64
import json
import logging
import re
import tempfile
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from auth import hash_password
from resilience import RedisCache, get_all_circuit_breakers
from resilience.cli import main
from resilience.connections import ConnectionConfig, ConnectionManager, DatabasePool
from resilience.dashboard._figures import Scrape, as_json
from resilience.external import ExternalApi, load_catalog
from resilience.fastapi import AdminPolicy, install, lifespan
from resilience.observability import breaker_families, tracing
from resilience.providers import LLMRouter, Provider
from support.example import example_server
from support.sample_api import API

SECRET = "canary-of-a-secret-that-nobody-may-see"  # noqa: S105 - it opens nothing
FORMS = (SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("="), SECRET.encode().hex())
NOBODY = "127.0.0.1:1"  # where nothing listens


def shown_in(text):
    return [form for form in FORMS if form in text]


async def database(dsn):
    pool = DatabasePool(dsn, size=1)
    yield pool
    try:
        await pool.check()
    finally:
        await pool.close()


async def redis_cache(url):
    level = RedisCache(url, prefix="secret")
    yield level
    await level.get("key")
    await level.aclose()


async def redis_pool(url):
    manager = ConnectionManager(ConnectionConfig(), redis_url=url)
    yield manager
    try:
        await manager.redis.ping()
    finally:
        await manager.close()


async def provider(url):
    router = LLMRouter([Provider("openai", "openai", "m", api_key=SECRET, base_url=url)])
    yield router
    async with router:
        await router.complete("hello", max_tokens=1)


async def external(url):
    api = ExternalApi(
        "sample",
        catalogue=load_catalog({"apis": {"sample": API}}),
        environment={"SAMPLE_KEY": SECRET},
        base_url=url,
    )
    yield api
    try:
        await api.request("read", id="1")
    finally:
        await api.close()


async def scrape(url):
    figures = Scrape(url)
    yield figures
    try:
        await figures()
    finally:
        await figures.close()


async def admin(token):
    yield AdminPolicy(token)


CONFIGURED = {
    "postgresql, nobody there": (database, f"postgresql://user:{SECRET}@{NOBODY}/db"),
    "postgresql, a bad port": (database, f"postgresql://user:{SECRET}@127.0.0.1:port/db"),
    "postgresql, a bad host": (database, f"postgresql://user:{SECRET}@[/db"),
    "postgresql, a bad option": (
        database,
        f"postgresql://user@{NOBODY}/db?password={SECRET}&nonsense={SECRET}",
    ),
    "a database of another kind": (database, f"mysql://user:{SECRET}@{NOBODY}/db"),
    "a database that is none": (database, f"user:{SECRET}@{NOBODY}"),
    "redis, nobody there": (redis_cache, f"redis://:{SECRET}@{NOBODY}/0"),
    "redis, a bad port": (redis_cache, f"redis://:{SECRET}@127.0.0.1:port/0"),
    "redis, a bad host": (redis_cache, f"redis://:{SECRET}@[/0"),
    "redis, a bad option": (redis_cache, f"redis://:{SECRET}@{NOBODY}/0?protocol={SECRET}"),
    "redis of another kind": (redis_cache, f"http://:{SECRET}@{NOBODY}/0"),
    "a pool of redis, nobody there": (redis_pool, f"redis://:{SECRET}@{NOBODY}/0"),
    "a pool of redis, a bad port": (redis_pool, f"redis://:{SECRET}@127.0.0.1:port/0"),
    "a pool of redis of another kind": (redis_pool, f"http://:{SECRET}@{NOBODY}/0"),
    "a provider, nobody there": (provider, f"http://{NOBODY}"),
    "a provider with a password": (provider, f"http://user:{SECRET}@{NOBODY}"),
    "an api, nobody there": (external, f"http://{NOBODY}"),
    "an api with a password": (external, f"https://user:{SECRET}@{NOBODY}"),
    "a dashboard's target with a password": (scrape, f"http://user:{SECRET}@{NOBODY}"),
    "an admin's token": (admin, SECRET),
}


@pytest.fixture
def spans(monkeypatch):
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    yield exporter
    tracers.shutdown()


@pytest.mark.parametrize("kind", CONFIGURED)
async def test_what_is_configured_with_a_secret_shows_it_nowhere(kind, caplog, spans):
    make, setting = CONFIGURED[kind]
    seen = []
    with (
        caplog.at_level(logging.DEBUG),
        trace.get_tracer_provider().get_tracer("test").start_as_current_span("all", record_exception=True),
    ):
        steps = make(setting)
        try:
            made = await anext(steps)
            for breaker in get_all_circuit_breakers().values():
                breaker.add_listener(tracing.note_event)
            seen += [repr(made), str(made), str(made.stats()) if hasattr(made, "stats") else ""]
            await anext(steps, None)
        except Exception as error:
            trace.get_current_span().record_exception(error)
            logging.getLogger("resilience.test").exception("it failed")
            seen += ["".join(traceback.format_exception(error)), repr(error), repr(vars(error))]
            made = None
        if made is not None and hasattr(made, "stats"):
            seen.append(str(made.stats()))
    seen += [span.to_json() for span in spans.get_finished_spans()]
    seen += [caplog.text, json.dumps(as_json(breaker_families()))]
    assert len(seen) >= 3
    for text in seen:
        assert not shown_in(text)


async def test_a_request_with_credentials_leaves_none_in_its_span(spans):
    app = FastAPI()

    @app.get("/items/{item}")
    async def fail(item: str):
        raise LookupError("no such item")

    install(app, admin=AdminPolicy(SECRET))
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}", "X-Api-Key": SECRET}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        answer = await http.get("/items/1", headers=headers)
    assert answer.status_code == 500
    finished = [span.to_json() for span in spans.get_finished_spans()]
    assert finished
    assert not shown_in(answer.text + "".join(finished))


@pytest.mark.parametrize("command", ["top", "serve-dashboard"])
def test_the_command_line_repeats_no_password(command, capsys, monkeypatch):
    monkeypatch.setenv("RESILIENCE_DASHBOARD_TOKEN", SECRET[:20])
    target = f"http://user:{SECRET}@{NOBODY}"
    arguments = ["--once"] if command == "top" else ["--port", "1"]
    assert main([command, "--target", target, *arguments]) != 0
    told = capsys.readouterr()
    assert told.err
    assert not shown_in(told.out + told.err)
    assert SECRET[:20] not in told.out + told.err


# ---- the example ----

NAMES = ("admin", "jwt", "password", "redis", "database", "openai")
SECRETS = {name: f"canary-{name}-{'0123456789' * 4}" for name in NAMES}


class Tattletale(BaseHTTPRequestHandler):
    """An upstream that repeats whatever it was sent, credentials and all."""

    def do_POST(self):
        body = f"{self.headers} {self.rfile.read(int(self.headers.get('Content-Length', 0)))!r}".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - named by the base class

    def log_message(self, *_):
        pass


@pytest.fixture
def tattletale():
    with ThreadingHTTPServer(("127.0.0.1", 0), Tattletale) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def everything_asked(server, token):
    """Ask for all there is to ask, with the right credentials and with wrong ones."""
    paths = server.get("/openapi.json").json()["paths"]
    for path in ["/openapi.json", "/docs", *(path for path in paths if "{" not in path)]:
        yield server.get(path)
        yield server.post(path, {"text": "x", "texts": ["x"]}, {"Authorization": f"Bearer {token}"})
    for run in ("/api/agents/research/run", "/api/workflows/briefing/run", "/api/nl/process"):
        for body in ({"input": "x"}, {"input": "x", "stream": True}, {"input": {"text": "x"}}, {"text": "x"}):
            yield server.post(run, body)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for password in (SECRETS["password"], "wrong"):
        yield server.post("/api/auth/token", f"username=ann&password={password}".encode(), form)
    for given in (SECRETS["admin"], SECRETS["jwt"], "wrong"):
        headers = {"Authorization": f"Bearer {given}"}
        yield server.post("/api/test/circuit-breaker/trigger-failure/ollama", headers=headers)
        yield server.get("/api/auth/me", headers)


def test_the_example_shows_none_of_its_secrets_whatever_it_is_asked(tattletale, monkeypatch):
    stored = hash_password(SECRETS["password"])
    monkeypatch.setenv("OPENAI_API_KEY", SECRETS["openai"])
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRETS['redis']}@{NOBODY}/0")
    settings = {
        "environment": "production",
        "test_endpoints": "1",
        "admin_token": SECRETS["admin"],
        "jwt_secret": SECRETS["jwt"],
        "users": json.dumps({"ann": stored}),
        "upstream_url": tattletale,
        "log_level": "debug",
        "check_interval": "0.1",
    }
    dsn = f"postgresql://user:{SECRETS['database']}@{NOBODY}/db"
    with tempfile.TemporaryFile("w+") as log:
        with example_server(database_url=dsn, log=log, **settings) as server:
            answers = list(everything_asked(server, SECRETS["admin"]))
            command_line = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        log.seek(0)
        told = log.read()
    assert {200, 401, 403, 422} <= {answer.status for answer in answers}
    assert "admin request" in told
    assert re.search(r"language_model is down|failed|Error", told)
    shown = [command_line, told, *(f"{answer.headers}{answer.body.decode()}" for answer in answers)]
    for text in shown:
        assert not [name for name, secret in SECRETS.items() if secret in text]
        assert stored not in text
