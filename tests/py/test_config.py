"""What a configuration means: inheritance, units, and what happens to breakers that exist."""

import textwrap

import pytest

from resilience import (
    CircuitBreaker,
    ConfigError,
    configure,
    get_all_circuit_breakers,
    get_circuit_breaker,
    reload,
)
from resilience._config.kinds import Duration, Optional, Rate, Whole
from resilience._config.sections import circuit_breakers
from resilience.testing import ManualClock

pytestmark = pytest.mark.usefixtures("clean_configuration")

YAML = """
    # what everybody gets
    defaults:
      recovery_timeout: 20s
      circuit_breakers:
        success_threshold: 1
    circuit_breakers:
      llm.*:
        failure_rate_threshold: 60%
        monitor_window: 2m
      llm.openai.*: {failure_threshold: 7}
      llm.openai.chat:
        slow_call_duration: 500ms
        slow_call_rate_threshold: 0.5
"""
TOML = """
    [defaults]
    recovery_timeout = "20s"
    circuit_breakers = { success_threshold = 1 }

    [circuit_breakers."llm.*"]
    failure_rate_threshold = "60%"
    monitor_window = "2m"

    [circuit_breakers]
    "llm.openai.*" = { failure_threshold = 7 }

    [circuit_breakers."llm.openai.chat"]
    slow_call_duration = "500ms"
    slow_call_rate_threshold = 0.5
"""
MAPPING = {
    "defaults": {"recovery_timeout": 20, "circuit_breakers": {"success_threshold": 1}},
    "circuit_breakers": {
        "llm.*": {"failure_rate_threshold": 0.6, "monitor_window": 120.0},
        "llm.openai.*": {"failure_threshold": 7},
        "llm.openai.chat": {"slow_call_duration": 0.5, "slow_call_rate_threshold": "50%"},
    },
}


def written(folder, suffix, text):
    path = folder / f"settings{suffix}"
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture(params=["yaml", "yml", "toml", "mapping", "str"])
def source(request, tmp_path):
    """The same configuration in every form that can be given."""
    if request.param == "mapping":
        return MAPPING
    if request.param == "str":
        return str(written(tmp_path, ".toml", TOML))
    return written(tmp_path, f".{request.param}", TOML if request.param == "toml" else YAML)


def test_settings_come_from_defaults_then_families_then_the_name(source):
    configure(source)
    chat = get_circuit_breaker("llm.openai.chat").config
    assert chat.recovery_timeout == 20.0
    assert chat.success_threshold == 1
    assert chat.failure_rate_threshold == 0.6
    assert chat.monitor_window == 120.0
    assert chat.failure_threshold == 7
    assert chat.slow_call_duration == 0.5
    assert chat.slow_call_rate_threshold == 0.5


def test_a_name_that_is_in_no_family_gets_the_defaults_only(source):
    configure(source)
    config = get_circuit_breaker("database").config
    assert config.recovery_timeout == 20.0
    assert config.failure_rate_threshold is None


def test_a_family_does_not_hold_its_own_stem_nor_names_that_merely_begin_alike():
    configure({"circuit_breakers": {"llm.*": {"failure_threshold": 9}}})
    assert get_circuit_breaker("llm.a").config.failure_threshold == 9
    assert get_circuit_breaker("llm").config.failure_threshold is None
    assert get_circuit_breaker("llmx").config.failure_threshold is None


def test_a_narrower_family_wins_over_a_broader_one_in_whatever_order_they_stand():
    configure(
        {
            "circuit_breakers": {
                "a.b.*": {"failure_threshold": 2},
                "*": {"failure_threshold": 9, "success_threshold": 4},
                "a.*": {"failure_threshold": 5},
            }
        }
    )
    assert get_circuit_breaker("a.b.c").config.failure_threshold == 2
    assert get_circuit_breaker("a.c").config.failure_threshold == 5
    assert get_circuit_breaker("z").config.failure_threshold == 9
    assert get_circuit_breaker("a.b.d").config.success_threshold == 4


def test_null_takes_back_what_a_family_set(tmp_path):
    text = "circuit_breakers:\n  a.*: {failure_rate_threshold: 50%}\n  a.b: {failure_rate_threshold: null}\n"
    configure(written(tmp_path, ".yaml", text))
    assert get_circuit_breaker("a.b").config.failure_rate_threshold is None
    assert get_circuit_breaker("a.c").config.failure_rate_threshold == 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("0.25", 0.25),
        (45, 45),
    ],
)
def test_durations_may_be_written_with_units(text, seconds):
    configure({"circuit_breakers": {"a": {"recovery_timeout": text}}})
    assert get_circuit_breaker("a").config.recovery_timeout == seconds


@pytest.mark.parametrize(
    ("text", "fraction"), [("60%", 0.6), ("0.6", 0.6), (0.6, 0.6), ("7%", 0.07), (1, 1), ("100%", 1)]
)
def test_rates_may_be_written_as_fractions_or_percentages(text, fraction):
    configure({"circuit_breakers": {"a": {"failure_rate_threshold": text}}})
    assert get_circuit_breaker("a").config.failure_rate_threshold == fraction


def test_breakers_that_exist_take_new_settings_and_stay_the_same_objects():
    made_by_name = get_circuit_breaker("a")
    made_directly = CircuitBreaker("b")
    configure({"circuit_breakers": {"a": {"failure_threshold": 8}, "b": {"failure_threshold": 9}}})
    assert get_circuit_breaker("a") is made_by_name
    assert made_by_name.config.failure_threshold == 8
    assert made_directly.config.failure_threshold == 9


def test_new_settings_govern_the_next_call():
    breaker = get_circuit_breaker("a")
    configure({"circuit_breakers": {"a": {"failure_threshold": 1}}})
    breaker.record_failure(OSError("down"), 0.1)
    assert breaker.state == "open"


def test_code_wins_over_defaults_and_a_name_or_family_wins_over_code():
    breaker = get_circuit_breaker("a.b", failure_threshold=5, success_threshold=3)
    configure(
        {
            "defaults": {"failure_threshold": 9, "success_threshold": 9, "monitor_window": 10},
            "circuit_breakers": {"a.*": {"success_threshold": 4}},
        }
    )
    assert breaker.config.failure_threshold == 5
    assert breaker.config.success_threshold == 4
    assert breaker.config.monitor_window == 10
    assert get_circuit_breaker("a.b", failure_threshold=5, success_threshold=3) is breaker


def test_what_only_code_can_set_survives_a_configuration():
    breaker = get_circuit_breaker("a", ignore=KeyError, fallback="sorry")
    configure({"circuit_breakers": {"a": {"failure_threshold": 4}}})
    assert breaker.config.ignore is KeyError
    assert breaker.config.fallback == "sorry"


def test_a_configuration_replaces_the_one_before_it():
    configure({"circuit_breakers": {"a": {"failure_threshold": 8}}})
    breaker = get_circuit_breaker("a")
    configure({"circuit_breakers": {"b": {}}})
    assert breaker.config == breaker.coded
    assert get_circuit_breaker("c").config.failure_threshold is None


def test_reload_keeps_state_and_history_of_breakers_that_did_not_change(tmp_path):
    path = written(tmp_path, ".toml", "[circuit_breakers.a]\nfailure_threshold = 2\n[circuit_breakers.b]\n")
    configure(path)
    clock = ManualClock()
    breaker = CircuitBreaker("a", clock=clock)
    other = get_circuit_breaker("b")
    for _ in range(2):
        breaker.record_failure(OSError("down"), 0.1)
    other.record_success(0.1)
    before, config = breaker.get_stats(), breaker.config
    written(
        tmp_path,
        ".toml",
        "[circuit_breakers.a]\nfailure_threshold = 2\n[circuit_breakers.b]\nminimum_calls = 3\n",
    )
    reload()
    assert breaker.get_stats() == before
    assert breaker.state == "open"
    assert breaker.config is config
    assert other.config.minimum_calls == 3


def test_a_changed_breaker_keeps_what_it_has_seen_too(tmp_path):
    configure(written(tmp_path, ".yaml", "circuit_breakers: {a: {failure_threshold: 5}}"))
    breaker = get_circuit_breaker("a")
    breaker.record_failure(OSError("down"), 0.1)
    written(tmp_path, ".yaml", "circuit_breakers: {a: {failure_threshold: 2}}")
    reload()
    assert breaker.failure_count == 1
    breaker.record_failure(OSError("down"), 0.1)
    assert breaker.state == "open"


def test_reload_reads_a_mapping_again_too():
    settings = {"circuit_breakers": {"a": {"failure_threshold": 5}}}
    configure(settings)
    settings["circuit_breakers"]["a"]["failure_threshold"] = 6
    reload()
    assert get_circuit_breaker("a").config.failure_threshold == 6


def test_reload_before_configure_says_so():
    from resilience import config

    config._source = None
    with pytest.raises(RuntimeError, match="configure"):
        reload()


def test_a_bad_reload_leaves_everything_as_it_was(tmp_path):
    path = written(tmp_path, ".yaml", "circuit_breakers:\n  a: {failure_threshold: 5}\n")
    configure(path)
    breaker = get_circuit_breaker("a")
    written(
        tmp_path, ".yaml", "circuit_breakers:\n  a: {failure_threshold: 6}\n  b: {failure_threshold: -1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        reload()
    assert (caught.value.key, caught.value.line) == ("circuit_breakers.b.failure_threshold", 3)
    assert breaker.config.failure_threshold == 5
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reload()
    assert breaker.config.failure_threshold == 5


def test_settings_that_clash_with_those_of_code_are_refused_before_anything_is_applied():
    picky = get_circuit_breaker("picky", success_threshold=5)
    other = get_circuit_breaker("other")
    with pytest.raises(ConfigError, match="at least success_threshold") as caught:
        configure(
            {"circuit_breakers": {"other": {"failure_threshold": 8}, "picky": {"half_open_requests": 3}}}
        )
    assert caught.value.key == "circuit_breakers.picky.half_open_requests"
    assert other.config.failure_threshold is None
    assert picky.config.half_open_requests is None


def test_an_empty_configuration_changes_nothing(tmp_path):
    breaker = get_circuit_breaker("a")
    for suffix, text in ((".yaml", ""), (".yaml", "circuit_breakers:\n"), (".toml", "# nothing\n")):
        configure(written(tmp_path, suffix, text))
    assert breaker.config == breaker.coded


def test_reading_a_configuration_makes_no_breaker():
    configure({"circuit_breakers": {"never.used": {"failure_threshold": 4}}})
    assert "never.used" not in get_all_circuit_breakers()


@pytest.mark.parametrize("wrong", [None, 5, ["a.yaml"], b"a.yaml"])
def test_what_is_neither_path_nor_mapping_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="path_or_mapping"):
        configure(wrong)


def parameters():
    return circuit_breakers.SECTION.schema.parameters


def test_the_schema_names_every_setting_of_a_breaker():
    import dataclasses

    fields = {field.name for field in dataclasses.fields(circuit_breakers.CircuitBreakerConfig) if field.init}
    known = {each.name for each in parameters()} | circuit_breakers.SECTION.schema.code_only
    assert fields <= known
    assert {each.name for each in parameters()} <= fields


@pytest.mark.parametrize("parameter", parameters(), ids=lambda each: each.name)
def test_the_schema_and_the_breaker_agree_on_the_range_of_each_setting(parameter):
    kind = parameter.kind.kind if isinstance(parameter.kind, Optional) else parameter.kind
    beside = {"slow_call_duration": 1.0, "half_open_requests": 10_000, "max_recovery_timeout": 31_622_400.0}
    step = 1 if isinstance(kind, Whole) else 1e-3 if isinstance(kind, Duration) else 1e-4
    lowest = kind.minimum + step * kind.above
    highest = kind.maximum - step * kind.below
    companions = {key: value for key, value in beside.items() if key != parameter.name}
    if parameter.name == "half_open_requests":
        companions["success_threshold"] = 1
    if parameter.name == "max_recovery_timeout":
        companions["recovery_timeout"] = 0.001
    for value in (lowest, highest):
        circuit_breakers.CircuitBreakerConfig(**{**companions, parameter.name: value})
    for value in (kind.minimum - step * (not kind.above), kind.maximum + step * (not kind.below)):
        outside = value if isinstance(kind, Rate) or value > 0 or isinstance(kind, Whole) else 0.0
        with pytest.raises(ValueError, match=parameter.name):
            circuit_breakers.CircuitBreakerConfig(**{**companions, parameter.name: outside})


def test_the_reference_page_is_what_the_schemas_say():
    from pathlib import Path

    from resilience._config.reference import reference

    page = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
    assert page.read_text() == reference(), "write it again: python -m resilience._config.reference"
