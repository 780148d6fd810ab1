"""The dashboard: its figures, who may see them, what a browser may do, and the page itself in one."""

import base64
import re
import subprocess
import sys

import httpx
import pytest
from fastapi import FastAPI

from resilience import CircuitBreaker, cli
from resilience.dashboard import create_app
from resilience.dashboard._figures import as_json, families_of
from resilience.fastapi import install, lifespan
from resilience.observability import Family
from resilience.observability._prometheus import render
from support.api_server import api_server
from support.dashboard_page import needs_page

TOKEN = "sample-token-that-is-long-enough-for-all"  # noqa: S105 - a sample
HOSTILE = '<img src="x" onerror="document.title=`hurt`">'


def sample_metrics():
    state = Family("resilience_circuit_breaker_state", "gauge", "State")
    state.put(2, name=HOSTILE)
    calls = Family("resilience_circuit_breaker_calls", "counter", "Calls")
    calls.put(7, name="payments", outcome="failures")
    entries = Family("resilience_cache_entries", "gauge", "Entries")
    entries.put(12, name="answers")
    return render(
        [state, calls, entries, Family("process_open_fds", "gauge", "Another's", values={(): [9.0]})]
    )


@pytest.fixture(autouse=True)
def page():
    needs_page()


def browser_of(app, address="127.0.0.1", host="127.0.0.1:8888", **headers):
    transport = httpx.ASGITransport(app, client=(address, 5000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)


def basic(password):
    return "Basic " + base64.b64encode(f"someone:{password}".encode()).decode()


async def test_the_page_is_served_with_a_strict_policy_and_nothing_from_elsewhere():
    async with browser_of(create_app()) as browser:
        page = await browser.get("/")
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(links) == 3
        for link in links:
            assert link.startswith("./assets/")
            assert (await browser.get(link)).status_code == 200
        assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page.text)
        for answer in (page, await browser.get("/data"), await browser.get("/absent")):
            policy = answer.headers["content-security-policy"]
            assert policy.startswith(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
            )
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_breakers_of_this_process_are_shown_without_an_application():
    breaker = CircuitBreaker("dashboard-sample", failure_threshold=1)
    breaker.record_failure(ConnectionError(), 0.1)
    async with browser_of(create_app()) as browser:
        answer = await browser.get("/data")
    assert answer.headers["cache-control"] == "no-store"
    (state,) = [
        family for family in answer.json()["families"] if family["name"] == "resilience_circuit_breaker_state"
    ]
    assert {"labels": {"name": "dashboard-sample"}, "values": [2.0]} in state["series"]


async def test_mounted_it_shows_the_application_it_is_mounted_in():
    app = FastAPI()
    state = install(app)
    app.mount("/dashboard", create_app(state.sources.gather))
    async with lifespan(app), browser_of(app) as browser:
        await browser.get("/healthz")
        assert (await browser.get("/dashboard/")).status_code == 200
        names = {family["name"] for family in (await browser.get("/dashboard/data")).json()["families"]}
    assert {"resilience_http_requests", "resilience_event_loop_lag_seconds"} <= names


async def test_a_server_elsewhere_is_asked_for_its_metrics():
    async with api_server() as server:
        server.says(sample_metrics(), "text/plain; version=0.0.4")
        app = create_app(target=server.url)
        async with app.router.lifespan_context(app), browser_of(app) as browser:
            families = (await browser.get("/data")).json()["families"]
            assert [family["name"] for family in families] == [
                "resilience_circuit_breaker_state",
                "resilience_circuit_breaker_calls",
                "resilience_cache_entries",
            ]
            assert families[0]["series"] == [{"labels": {"name": HOSTILE}, "values": [2.0]}]
            assert server.asked[0].path == "/metrics"
            server.says(b"down", status=503)
            down = await browser.get("/data")
            assert (down.status_code, down.json()) == (502, {"detail": "the server answered 503"})
            server.says(b"<html>")
            assert (await browser.get("/data")).status_code == 502
            await server.stop()
            assert (await browser.get("/data")).json()["detail"].startswith("metrics: no answer: ")


def test_what_is_scraped_is_what_was_measured():
    histogram = Family("resilience_time", "histogram", "How long", bounds=(0.1, 1.0))
    histogram.add((("route", "/a"),), [3.0, 2.0, 1.0, 4.5])
    gauge = Family("resilience_size", "gauge", "How many")
    gauge.put(5, name="a")
    gauge.put(float("nan"), name="b")
    again = families_of(render([histogram, gauge]).decode())
    told, asked = as_json(again)["families"], as_json([histogram, gauge])["families"]
    assert told == asked
    assert told[0]["bounds"] == [0.1, 1.0]
    assert told[1]["series"][1]["values"] == [None]


@pytest.mark.parametrize(
    ("address", "host", "headers", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8888", {}, 200),
        ("127.0.0.1", "localhost:8888", {}, 200),
        ("::1", "[::1]:8888", {}, 200),
        ("10.0.0.9", "127.0.0.1:8888", {}, 403),
        ("127.0.0.1", "rebound.example", {}, 403),
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": "9.9.9.9"}, 403),
        ("127.0.0.1", "127.0.0.1", {"Forwarded": "for=9.9.9.9"}, 403),
    ],
)
async def test_without_a_token_only_this_machines_own_user_is_let_in(address, host, headers, status):
    async with browser_of(create_app(), address, host, **headers) as browser:
        for path in ("/", "/data"):
            assert (await browser.get(path)).status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (basic(TOKEN), 200),
        (basic(TOKEN[:-1]), 401),
        ("Basic rubbish!", 401),
        ("Bearer", 401),
        ("Bearer \xff", 401),
        ("", 401),
    ],
)
async def test_with_a_token_everybody_needs_it(authorization, status):
    for address in ("127.0.0.1", "10.0.0.9"):
        headers = {"Authorization": authorization.encode("latin-1")}
        async with browser_of(create_app(token=TOKEN), address, **headers) as browser:
            answer = await browser.get("/data")
            assert answer.status_code == status
            assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed_by_it(method):
    async with browser_of(create_app()) as browser:
        for path in ("/", "/data"):
            assert (await browser.request(method, path)).status_code == 405


async def test_no_path_leads_out_of_the_page():
    async with browser_of(create_app()) as browser:
        for path in ("/..%2f_app.py", "/assets/..%2f..%2f_app.py", "/%2e%2e/_app.py", "/assets/%00"):
            assert (await browser.get(path)).status_code in (400, 404)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"token": "short"}, ValueError, "token must have at least 32 bytes"),
        ({"token": 5}, TypeError, "token must be a string or None, got int"),
        ({"target": "file:///etc/passwd"}, ValueError, "target must be http"),
        ({"target": "http://x", "gather": dict}, TypeError, "give either gather or target"),
    ],
)
def test_bad_settings_are_refused_at_construction(settings, kind, message):
    with pytest.raises(kind, match=message):
        create_app(**settings)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "192.0.2.1", "::", "example.org", "", "0", "*", "127.0.0.1.example", "127.1"],  # noqa: S104 - refused
)
def test_the_command_refuses_other_addresses_without_a_token(host, capsys, monkeypatch):
    monkeypatch.delenv("RESILIENCE_DASHBOARD_TOKEN", raising=False)
    assert cli.main(["serve-dashboard", "--host", host]) == 2
    assert f"{host} isn't loopback: set RESILIENCE_DASHBOARD_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("RESILIENCE_DASHBOARD_TOKEN", "guessable")
    assert cli.main(["serve-dashboard", "--host", host]) == 2
    told = capsys.readouterr().err
    assert "token must have at least 32 bytes" in told
    assert "guessable" not in told


def test_importing_it_loads_no_framework():
    code = "import sys, resilience.dashboard; print('starlette' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
