"""Pipelines and timeouts from a configuration, and what a reload keeps."""

import asyncio
import ssl

import pytest

from resilience import (
    BulkheadFullError,
    ConfigError,
    Timeouts,
    configure,
    get_all_circuit_breakers,
    get_circuit_breaker,
    get_pipeline,
)
from support.policies import Flaky, Gate
from support.until import settle

pytestmark = pytest.mark.usefixtures("clean_configuration")

EVERYTHING = {
    "total_timeout": "30s",
    "retry": {
        "on": ["ConnectionError", "CallTimeoutError"],
        "attempts": 2,
        "wait_initial": 0,
        "budget_ratio": 1,
    },
    "hedge": {"delay": "p95", "max_hedges": 1},
    "circuit_breaker": "named.upstream",
    "rate_limit": {"rate": 100, "per": "1s", "burst": 20},
    "bulkhead": {"max_concurrent": 1},
    "adaptive_limit": {"initial": 5, "algorithm": "vegas"},
    "timeout": "500ms",
}


async def test_a_configuration_covers_every_policy():
    configure({"pipelines": {"named.all": EVERYTHING}})
    pipeline = get_pipeline("named.all")
    assert get_pipeline("named.all") is pipeline
    members = pipeline._members._asdict()
    assert {place for place, policy in members.items() if policy is not None} == set(EVERYTHING)
    assert members["circuit_breaker"] is get_circuit_breaker("named.upstream")
    flaky = Flaky(1)
    assert await pipeline.call(flaky) == "ok"
    assert flaky.calls == 2


async def test_exceptions_of_an_imported_module_are_retried_by_name():
    configure(
        {"pipelines": {"named.other": {"retry": {"on": ["ssl.SSLError"], "attempts": 2, "wait_initial": 0}}}}
    )
    flaky = Flaky(1, ssl.SSLError("reset"))
    assert await get_pipeline("named.other").call(flaky) == "ok"
    assert flaky.calls == 2


async def test_a_pipeline_that_nobody_configured_lets_everything_through():
    assert await get_pipeline("named.unknown").call(Flaky(0)) == "ok"
    with pytest.raises(TypeError, match="name"):
        get_pipeline(3)


async def test_functions_decorated_before_the_configuration_follow_it():
    gate = Gate()
    guarded = get_pipeline("named.later")(gate)
    configure({"pipelines": {"named.*": {"bulkhead": 1}}})
    first = asyncio.create_task(guarded())
    await settle()
    with pytest.raises(BulkheadFullError):
        await guarded()
    configure({"pipelines": {"named.*": {"bulkhead": 2}}})
    second = asyncio.create_task(guarded())
    await settle()
    assert get_pipeline("named.later")._members.bulkhead.in_flight == 2, "resized in place"
    configure({})
    gate.open()
    await asyncio.gather(first, second, guarded())


async def test_unchanged_policies_keep_their_state_over_a_reload():
    configure({"pipelines": {"named.kept": EVERYTHING}})
    before = get_pipeline("named.kept")._members
    configure({"pipelines": {"named.kept": {**EVERYTHING, "timeout": "1s", "rate_limit": {"rate": 5}}}})
    after = get_pipeline("named.kept")._members
    changed = [place for place in EVERYTHING if getattr(before, place) is not getattr(after, place)]
    assert changed == ["timeout"]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"bulkhead": {"max_concurrent": 0}}, "bulkhead.max_concurrent"),
        ({"bulkhead": {"max_concurent": 1}}, "bulkhead.max_concurent"),
        ({"retry": {"attempts": 2}}, "retry"),
        ({"retry": {"on": ["os.system"]}}, "retry.on"),
        ({"retry": {"on": ["never.imported.Error"]}}, "retry.on"),
        ({"retry": {"on": ["ssl."]}}, "retry.on"),
        ({"retry": 3}, "retry"),
        ({"hedge": "p200"}, "hedge"),
        ({"adaptive_limit": {"initial": 5, "max": 2}}, "adaptive_limit"),
        ({"timeout": {}}, "timeout"),
        ({"total_timeout": -1}, "total_timeout"),
        ({"fallback": 1}, "fallback"),
        ({"cache": 1}, "cache"),
    ],
)
async def test_a_configuration_that_is_wrong_names_the_key_and_changes_nothing(entry, key):
    configure({"pipelines": {"named.good": EVERYTHING}, "timeouts": {"named": 3}})
    before = get_pipeline("named.good")._members
    with pytest.raises(ConfigError) as caught:
        configure(
            {"pipelines": {"named.good": {"bulkhead": 7}, "named.bad": entry}, "timeouts": {"named": 4}}
        )
    assert caught.value.key.startswith(f"pipelines.named.bad.{key}")
    assert get_pipeline("named.good")._members == before
    assert Timeouts.get("named") == 3.0


def test_timeouts_are_found_by_name_ancestor_and_default():
    configure({"timeouts": {"llm": "30s", "llm.openai": "500ms", "db.*": "2m", "default": 7}})
    assert Timeouts.get("llm.openai") == 0.5
    assert Timeouts.get("llm.openai.chat") == 0.5
    assert Timeouts.get("llm.anthropic") == 30.0
    assert Timeouts.get("db.read") == 120.0
    assert Timeouts.get("anything") == 7.0
    configure({})
    assert Timeouts.get("anything", 1.0) == 1.0
    with pytest.raises(KeyError, match="anything"):
        Timeouts.get("anything")


@pytest.mark.parametrize("place", ["timeout", "total_timeout", "hedge"])
@pytest.mark.parametrize("family", ["named.*", "named.plain"])
def test_a_configuration_that_a_plain_function_cannot_follow_is_refused_whole(place, family):
    configure({"pipelines": {"named.plain": {"bulkhead": 1}}})
    pipeline, other = get_pipeline("named.plain"), get_pipeline("named.aside")

    @pipeline
    def answer():
        return "plain"

    changes = {"bulkhead": 3, "circuit_breaker": "named.never-made", place: "1s"}
    with pytest.raises(ConfigError, match=r"needs an async function.*answer") as refused:
        configure(
            {
                "timeouts": {"named.plain": 3},
                "pipelines": {family: changes, "named.aside": {"bulkhead": 1}},
            }
        )
    assert refused.value.key == f"pipelines.{family}.{place}"
    assert answer() == "plain"
    assert pipeline._members.bulkhead.max_concurrent == 1
    assert other._members.bulkhead is None
    assert "named.plain" not in Timeouts.table()
    assert "named.never-made" not in get_all_circuit_breakers()


def test_a_function_that_is_gone_is_in_the_way_of_no_configuration():
    configure({"pipelines": {"named.brief": {"bulkhead": 1}}})
    pipeline = get_pipeline("named.brief")
    brief = pipeline(lambda: "plain")
    assert brief() == "plain"
    del brief
    configure({"pipelines": {"named.brief": {"timeout": "1s"}}})
    assert pipeline._members.timeout.seconds == 1.0


@pytest.mark.parametrize("name", ["\ud800", "two\nlines", ""])
def test_a_breaker_whose_name_cannot_be_shown_is_refused_with_the_configuration(name):
    pipeline = get_pipeline("named.shown")
    with pytest.raises(ConfigError, match="text of 1 to 200 printable characters"):
        configure({"pipelines": {"named.shown": {"bulkhead": 2, "circuit_breaker": name}}})
    assert pipeline._members.bulkhead is None
    assert name not in get_all_circuit_breakers()
