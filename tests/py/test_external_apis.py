"""The catalogue's APIs against servers that answer in their formats: what is asked, and the typed result."""

import asyncio
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from resilience import external
from resilience.external import (
    Answer,
    ApiStatusError,
    ExternalApi,
    MissingCredentialError,
    Page,
    load_catalog,
)
from resilience.testing import ManualClock
from support.api_bodies import ANSWERS, ARXIV, ARXIV_ERROR, ENVIRONMENT, as_bytes
from support.api_results import EXPECTED
from support.api_server import api_server

CATALOGUE = load_catalog()


def make(name, server, **settings):
    settings.setdefault("environment", ENVIRONMENT)
    settings.setdefault("clock", ManualClock())
    return ExternalApi(name, base_url=server.url, **settings)


def test_every_operation_of_the_catalogue_has_an_example():
    everything = {(spec.name, operation) for spec in CATALOGUE.values() for operation in spec.operations}
    assert {(api, operation) for api, operation, *_ in ANSWERS} == everything == set(EXPECTED)


@pytest.mark.parametrize(
    ("api", "operation", "arguments", "kind", "body"), ANSWERS, ids=lambda each: str(each)[:20]
)
async def test_an_answer_in_the_apis_format_becomes_a_typed_result(api, operation, arguments, kind, body):
    path, query, headers, result = EXPECTED[api, operation]
    async with api_server() as server, make(api, server) as under_test:
        server.says(as_bytes(body), kind)
        answer = await under_test.request(operation, **arguments)
        assert answer == Answer(result)
        (asked,) = server.asked
        assert asked.path == path
        assert query.items() <= asked.query.items()
        assert headers.items() <= asked.headers.items()
        assert under_test.breaker.success_count == 1


async def test_a_fresh_answer_is_not_asked_for_again_and_has_an_age():
    clock = ManualClock()
    async with api_server() as server, make("hacker-news", server, clock=clock) as under_test:
        server.says(b"[1]")
        assert (await under_test.request("top")).age == 0
        clock.advance(200)
        assert await under_test.request("top") == Answer(Page((1,)), age=pytest.approx(200))
        clock.advance(101)  # five minutes are over
        server.says(b"[2]")
        assert await under_test.request("top") == Answer(Page((2,)))
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("api", "operation", "arguments", "body", "status", "failures"),
    [
        ("arxiv", "papers", {"ids": "1234"}, ARXIV_ERROR, 400, 0),
        ("pubmed", "search", {"query": "x"}, {"esearchresult": {"ERROR": "Empty term"}}, 400, 0),
        ("alpha-vantage", "quote", {"symbol": "?"}, {"Error Message": "Invalid API call."}, 400, 0),
        ("alpha-vantage", "quote", {"symbol": "?"}, {"Global Quote": {}}, 404, 0),
        ("alpha-vantage", "quote", {"symbol": "A"}, {"Information": "This is a premium endpoint."}, 403, 0),
        ("alpha-vantage", "quote", {"symbol": "A"}, {"Information": "The limit is 25 requests per day."}, 429, 1),
        (
            "yahoo-finance",
            "quote",
            {"symbol": "?"},
            {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}},
            404,
            0,
        ),
        ("polygon", "quote", {"symbol": "?"}, {"status": "ERROR", "error": "bad ticker"}, 400, 0),
        ("newsapi", "search", {"query": "x"}, {"status": "error", "code": "x", "message": "no"}, 400, 0),
        ("guardian", "search", {"query": "x"}, {"response": {"status": "error", "message": "no"}}, 400, 0),
        ("hacker-news", "item", {"id": 0}, None, 404, 0),
    ],
)  # fmt: skip
async def test_an_error_sent_as_a_success_is_told_apart(api, operation, arguments, body, status, failures):
    async with api_server() as server, make(api, server) as under_test:
        server.says(as_bytes(body))
        with pytest.raises(ApiStatusError) as refused:
            await under_test.request(operation, **arguments)
        assert refused.value.status_code == status
        assert under_test.breaker.failure_count == failures


@pytest.mark.parametrize(
    "name", [spec.name for spec in CATALOGUE.values() if any(c.required for c in spec.credentials)]
)
def test_a_missing_credential_is_named_at_construction(name):
    with pytest.raises(MissingCredentialError, match=r"environment variable [A-Z_]+ must be set"):
        ExternalApi(name, environment={})


async def test_an_argument_cannot_leave_its_place_in_the_path():
    async with api_server() as server, make("openalex", server) as under_test:
        server.says(b"{}")
        for hostile in ("..", ".", "", "a\r\nX-Header: 1", "a\ud800", "x" * 2001):
            with pytest.raises(ValueError, match="id must be"):
                await under_test.request("paper", id=hostile)
        assert server.asked == []
        with pytest.raises(Exception, match="must be text"):
            await under_test.request("paper", id="../../admin?x=1#y")
        assert server.asked[0].path == "/works/..%2F..%2Fadmin%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("operation", "arguments", "kind", "message"),
    [
        ("find", {}, ValueError, "arxiv has no operation 'find'; there are search, papers"),
        ("search", {}, TypeError, "argument 'query' is missing"),
        ("search", {"query": "x", "page": 2}, TypeError, "unknown argument 'page'; there are query, offset, limit"),
        ("search", {"query": "x", "limit": 101}, ValueError, r"limit must be a whole number in \[0, 100\], got 101"),
        ("search", {"query": "x", "limit": "9"}, TypeError, "limit must be a whole number, got str"),
        ("search", {"query": ["x"]}, TypeError, "query must be text, a number or a date, got list"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_before_anything_is_sent(operation, arguments, kind, message):
    async with api_server() as server, make("arxiv", server) as under_test:
        with pytest.raises(kind, match=message):
            await under_test.request(operation, **arguments)
        assert server.asked == []
        assert under_test.breaker.get_stats()["state"] == "closed"


def test_importing_needs_no_client_library():
    code = (
        "import sys, resilience.external; print(sorted({'httpx', 'yaml', 'defusedxml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


async def test_the_first_example_of_the_guide_runs_as_pasted(monkeypatch, capsys):
    guide = (Path(__file__).parents[2] / "docs/how-to/external-apis.md").read_text()
    program = guide.partition("```python\n")[2].partition("```")[0]
    async with api_server() as server:
        server.says(as_bytes(ARXIV), "application/atom+xml")
        monkeypatch.setattr(external, "ExternalApi", functools.partial(ExternalApi, base_url=server.url))
        await asyncio.to_thread(exec, program, {})
    assert capsys.readouterr().out == "2024-01-01 Breakers that mend themselves by Ada Sample, Bo Müller\n"


def test_the_guide_lists_the_catalogue():
    guide = (Path(__file__).parents[2] / "docs/how-to/external-apis.md").read_text()
    for spec in CATALOGUE.values():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{spec.name}` |")]
        assert all(f"`{operation}(" in row for operation in spec.operations)
        for credential in spec.credentials:
            assert ("**" if credential.required else "") + f"`{credential.variable}`" in row
