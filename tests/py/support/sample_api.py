"""An external API of the tests' own, in a catalogue of one."""

import pytest

from resilience.external import ExternalApi, load_catalog
from support.api_server import api_server

API = {
    "base_url": "https://sample.example",
    "breaker": {"failure_threshold": 3, "recovery_timeout": "60s", "recovery_jitter": 0},
    "timeout": "5s",
    "cache": {"ttl": "10s", "keep": "1h"},
    "probe": {"path": "/up", "interval": "1s"},
    "credentials": [
        {"variable": "SAMPLE_KEY", "query": "key", "required": False},
        {"variable": "SAMPLE_TOKEN", "header": "X-Token", "required": False},
    ],
    "operations": {
        "read": {"path": "/read/{id}", "parser": "json"},
        "path": {"path": "/path/{id}", "parser": "text", "cache": {"ttl": "0s", "keep": "0s"}},
        "live": {"path": "/live", "parser": "json", "cache": {"ttl": "0s", "keep": "0s"}},
    },
}


@pytest.fixture
async def server():
    """Where the API is; it answers with a fresh text until it is told to do otherwise."""
    async with api_server() as running:
        running.says(b'"fresh"')
        yield running


@pytest.fixture
async def make(server, clock):
    """A function that makes the API on the server, with changes of its entry; what it made is closed in the end."""
    made = []

    def make_one(changes=None, **settings):
        catalogue = load_catalog({"apis": {"sample": {**API, **(changes or {})}}})
        settings = {"environment": {}, "clock": clock, "base_url": server.url, **settings}
        made.append(ExternalApi("sample", catalogue=catalogue, **settings))
        return made[-1]

    yield make_one
    for api in made:
        await api.close()
