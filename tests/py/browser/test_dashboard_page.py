"""The dashboard's page in a real browser: what it shows, its policy, and that everybody can read it."""

import asyncio
import contextlib
import os
import re
import sys

import pytest

from resilience import CircuitBreaker, CircuitOpenError
from resilience.observability import Family
from resilience.observability._families import breaker_families
from resilience.observability._prometheus import render
from support.api_server import api_server
from support.chromium import browser
from support.dashboard_page import SOURCE, needs_page

HOSTILE = '<img src="x" onerror="document.title=`hurt`">'
AXE = SOURCE / "node_modules" / "axe-core" / "axe.min.js"


def metrics(requests):
    state = Family("resilience_circuit_breaker_state", "gauge", "State")
    state.put(2, name=HOSTILE)
    state.put(0, name="payments")
    entries = Family("resilience_cache_entries", "gauge", "Entries")
    entries.put(12, name="answers")
    total = Family("resilience_http_requests", "counter", "Requests")
    total.put(requests, route="/a", status="200")
    return render([state, entries, total])


@contextlib.asynccontextmanager
async def serving(target):
    """Run the command on a free port; yields its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "resilience", "serve-dashboard", "--port", "0", "--target", target),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async for line in process.stderr:
            if found := re.search(rb"running on (http://127\.0\.0\.1:\d+)", line):
                yield found[1].decode()
                break
        else:
            raise AssertionError("it didn't start")
    finally:
        process.terminate()
        await process.communicate()


@pytest.fixture
async def server():
    needs_page()
    async with api_server() as running:
        running.says(metrics(100), "text/plain; version=0.0.4")
        yield running


@pytest.fixture
async def page(server, tmp_path):
    async with asyncio.timeout(120), serving(server.url) as address, browser(f"{address}/", tmp_path) as page:
        await page.until("document.querySelector('#status')?.textContent.startsWith('live')")
        yield page


async def test_the_calls_of_a_breaker_are_shown_by_outcome_as_it_counted_them(server, tmp_path):
    breaker = CircuitBreaker("counted", failure_threshold=2, slow_call_duration=1.0)
    breaker.record_success(2.0)
    breaker.record_failure(ConnectionError(), 0.1)
    breaker.record_failure(ConnectionError(), 0.1)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(int)
    server.says(render(breaker_families()), "text/plain; version=0.0.4")
    async with serving(server.url) as address, browser(f"{address}/", tmp_path) as page:
        await page.until("document.querySelector('#status')?.textContent.startsWith('live')")
        rows = await page.evaluate(
            "[...document.querySelectorAll('tbody tr')].map(row => row.innerText.split('\\t'))"
        )
    assert ["counted", "open", "4", "2", "1", "1"] in rows


async def test_figures_are_shown_as_text_and_no_policy_is_broken(page):
    rows = await page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(row => row.innerText.split('\\t'))"
    )
    assert [HOSTILE, "open", "0", "0", "0", "0"] in rows
    assert ["payments", "closed", "0", "0", "0", "0"] in rows
    assert ["answers", "12", "0", "0", "\u2013"] in rows
    assert await page.evaluate("document.images.length") == 0
    assert await page.evaluate("document.title") == "resilience"
    assert await page.evaluate("document.querySelectorAll('canvas').length") == 4
    assert page.complaints == []


async def test_it_keeps_asking_and_says_when_there_are_no_figures(page, server):
    server.says(b"", status=503)
    await page.until("document.querySelector('#status').className == 'failed'")
    told = await page.evaluate("document.querySelector('#status').textContent")
    assert told == "no figures: the server answered 503"
    server.says(metrics(200), "text/plain; version=0.0.4")
    await page.until("document.querySelector('#status').textContent.startsWith('live')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_to_complain_about(page, scheme):
    if not AXE.exists():
        pytest.skip("axe-core isn't installed: ./dev dashboard does it")
    await page.command(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    await page.evaluate(AXE.read_text() + "; true")
    found = await page.evaluate(
        "axe.run().then(result => result.violations.map(each => [each.id, each.nodes.map(node => node.html)]))"
    )
    assert found == []
