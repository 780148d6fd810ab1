"""The example's agents look things up in external APIs before they ask the model, and do without when they must."""

import pytest

from agents import Agent
from resilience import State, rate_limit
from resilience.external import ExternalApi
from sources import USES, Sources
from support.api_bodies import ARXIV, YAHOO, as_bytes
from support.api_server import api_server


@pytest.fixture
async def server():
    async with api_server() as running:
        running.says(as_bytes(ARXIV), "application/atom+xml")
        yield running


@pytest.fixture
async def sources(server, clock):
    settings = {"base_url": server.url, "clock": clock, "rate_limit": rate_limit(1e6), "probing": False}
    made = Sources({name: ExternalApi(name, **settings) for name in ("arxiv", "yahoo-finance")})
    yield made
    await made.close()


async def test_a_researcher_gets_papers(sources, server):
    (line,) = await sources.about("research", "Which breakers\nmend themselves?")
    assert line == "Breakers that mend themselves, Ada Sample, Bo Müller, 2024-01-01 (arxiv)"
    assert server.asked[0].query["search_query"] == "Which breakers mend themselves?"
    prompt = Agent("research", "", "Look.").prompt("Task?", [line])
    assert prompt == f"Look.\n\nSources that were looked up:\n- {line}\n\nTask: Task?"


async def test_an_analyst_gets_the_prices_of_symbols_that_are_named(sources, server):
    server.says(as_bytes(YAHOO))
    lines = await sources.about("financial", "Compare $SMPL with $SMPL, $A, $B and $C, not $5.")
    assert len(lines) == len(server.asked) == 3
    assert lines[0] == "SMPL 11.25 USD at 2024-05-03 20:00:00+00:00 (yahoo-finance)"
    assert await sources.about("financial", "How are you?") == []


async def test_a_source_that_is_down_is_left_out_or_answers_with_its_age(sources, server, clock):
    await sources.about("research", "breakers")
    clock.advance(2 * 3600)
    server.says(b"", status=503)
    for _ in range(6):
        (line,) = await sources.about("research", "breakers")
    assert line.endswith("(arxiv, 7200 s old)")
    assert await sources.about("research", "something else") == []
    figures = sources.stats()["arxiv"]
    assert figures["circuit_breaker"]["state"] == State.OPEN
    assert len(server.asked) == 1 + 4


async def test_without_sources_nothing_is_looked_up():
    assert await Sources({}).about("research", "breakers") == []


def test_an_api_that_no_agent_uses_is_refused():
    with pytest.raises(ValueError, match="no agent uses 'hacker-news'; there are alpha-vantage"):
        Sources({"hacker-news": ExternalApi("hacker-news")})
    assert set(USES) == {"research", "financial"}
