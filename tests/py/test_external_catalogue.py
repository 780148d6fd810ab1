"""Catalogues of one's own: what they may say, and what is refused with its place."""

import pytest

from resilience.errors import ConfigError
from resilience.external import ExternalApi, ShapeError, load_catalog
from resilience.external._template import Template
from support.api_server import api_server

OWN = """
families:
  weather:
    breaker: { failure_threshold: 2, recovery_timeout: 10s }
    cache: { ttl: 1m, keep: 1h }
apis:
  clouds:
    family: weather
    base_url: https://clouds.example/v1/
    timeout: 3s
    rate_limit: { rate: 5, per: 1m, burst: 2 }
    operations:
      now:
        path: /now/{place}
        query: { unit: "{unit=C}", day: "{day?}" }
        parser: clouds
"""


def clouds(body):
    if not body.startswith(b"clouds "):
        raise ShapeError("no clouds")
    return int(body[7:])


async def test_a_catalogue_of_ones_own_with_a_parser_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(OWN)
    catalogue = load_catalog(file, parsers={"clouds": clouds})
    spec = catalogue["clouds"]
    assert (spec.base_url, spec.timeout, spec.breaker.failure_threshold) == (
        "https://clouds.example/v1",
        3,
        2,
    )
    assert (spec.rate_limit.rate, spec.rate_limit.per, spec.rate_limit.burst) == (5, 60, 2)
    assert (spec.operations["now"].ttl, spec.operations["now"].keep) == (60, 3600)
    async with api_server() as server, ExternalApi("clouds", catalogue=catalogue, base_url=server.url) as api:
        server.says(b"clouds 8", "text/plain")
        assert (await api.request("now", place="São Paulo")).value == 8
        assert server.asked[0].path == "/now/S%C3%A3o%20Paulo"
        assert server.asked[0].query == {"unit": "C"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("timeout: 3s", "timeout: -3s"), "line 10: apis.clouds.timeout: must be a duration"),
        (("timeout: 3s", "time_out: 3s"), "line 10: apis.clouds.time_out: unknown setting; did you mean timeout"),
        (("family: weather", "family: wether"), "line 8: apis.clouds.family: unknown family; did you mean weather"),
        (("parser: clouds", "parser: cloud"), "unknown parser; did you mean clouds"),
        (("https://clouds.example/v1/", "clouds.example"), "base_url must be http"),
        (("path: /now/{place}", "path: now"), "path must begin with '/'"),
        (("{unit=C}", "{unit=C"), "has braces that are no argument"),
        (("rate: 5,", "rate: 0,"), "apis.clouds.rate_limit.rate: must be a number in"),
        (("        parser: clouds\n", ""), "apis.clouds.operations.now: must have parser"),
        (("families:", "familie:"), "unknown setting; did you mean families"),
        (("apis:", "# apis:"), "line "),
        (("failure_threshold: 2", "failure_threshold: many"), "families.weather.breaker.failure_threshold: must be"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_catalogue_is_refused_with_its_place(tmp_path, change, message):
    file = tmp_path / "mine.yaml"
    assert change[0] in OWN
    file.write_text(OWN.replace(*change))
    with pytest.raises(ConfigError) as refused:
        load_catalog(file, parsers={"clouds": clouds})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: [*a, *a]",
        "[" * 100_000,
        "apis: " + "x" * 300_000,
        "apis: {a: {}}\napis: {}",
        "!!python/object/apply:os.system ['true']",
    ],
    ids=["alias", "depth", "size", "twice", "tag"],
)
def test_hostile_yaml_is_refused(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_catalog(file)


def test_a_catalogue_may_be_a_mapping():
    operations = {"get": {"path": "/", "parser": "text"}}
    (spec,) = load_catalog(
        {"apis": {"a": {"base_url": "https://a.example", "operations": operations}}}
    ).values()
    assert spec.operations["get"].parser(b"\xef\xbb\xbfok") == "ok"
    with pytest.raises(ShapeError):
        spec.operations["get"].parser(b"\xff")


@pytest.mark.parametrize(
    ("credential", "message"),
    [
        ({"variable": "X"}, "a credential goes into either a header or a query parameter"),
        ({"variable": "X", "header": "A", "query": "b"}, "a credential goes into either"),
    ],
)
def test_a_credential_has_one_place(credential, message):
    entry = {"base_url": "https://a.example", "operations": {}, "credentials": [credential]}
    with pytest.raises(ConfigError, match=message):
        load_catalog({"apis": {"a": entry}})


def test_bounds_are_for_arguments_that_are_there():
    with pytest.raises(ValueError, match="bounds of arguments that aren't there: limit"):
        Template("/", {"n": "{count=1}"}, {"limit": 5})
