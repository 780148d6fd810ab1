"""An external API of the tests' own, in a catalogue of one."""

import contextlib

from resilience.external import ExternalApi, load_catalog

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


@contextlib.asynccontextmanager
async def sample_apis(server, clock):
    """Yield a function that makes the API on a server, with changes of its entry; closes what it made."""
    made = []

    def make(changes=None, **settings):
        catalogue = load_catalog({"apis": {"sample": {**API, **(changes or {})}}})
        settings = {"environment": {}, "clock": clock, "base_url": server.url, **settings}
        made.append(ExternalApi("sample", catalogue=catalogue, **settings))
        return made[-1]

    try:
        yield make
    finally:
        for api in made:
            await api.close()
