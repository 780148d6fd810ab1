"""How providers are described, what they are given by default, and what importing them costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from resilience import Timeouts, providers
from resilience.providers import LLMRouter, Price, Provider
from resilience.providers._llm.kinds import KINDS
from support.llm import Scripted

_SDK_MODULES = (
    "openai",
    "anthropic",
    "google.genai",
    "groq",
    "huggingface_hub",
    "ollama",
    "httpx",
    "httpx2",
    "aiohttp",
)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_providers_imports_no_client_library():
    done = run(
        "import sys, resilience.providers as p\n"
        "[getattr(p, name) for name in p.__all__]\n"
        f"print([name for name in {_SDK_MODULES} if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [
        ("openai", "openai", "llm-openai"),
        ("azure", "openai", "llm-openai"),
        ("anthropic", "anthropic", "llm-anthropic"),
        ("google", "google.genai", "llm-google"),
        ("groq", "groq", "llm-groq"),
        ("huggingface", "huggingface_hub", "llm-huggingface"),
        ("ollama", "ollama", "llm-ollama"),
        ("openai_compatible", "httpx2", "http"),
    ],
)
def test_a_missing_extra_is_named_when_a_router_is_made(kind, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    settings = Provider(kind=kind, model="m", api_key="k", base_url="http://127.0.0.1:9")
    with pytest.raises(ImportError, match=rf"pip install 'resilience-native\[{extra}\]'"):
        LLMRouter([settings])


@pytest.mark.parametrize(
    ("kind", "failures", "recovery", "rate", "timeout"),
    [
        ("openai", 2, 60.0, 0.3, 30.0),
        ("anthropic", 2, 60.0, 0.3, 45.0),
        ("google", 3, 60.0, None, 35.0),
    ],
)
def test_the_large_providers_have_their_own_breakers_and_timeouts(kind, failures, recovery, rate, timeout):
    settings = Provider(kind=kind, model="m", api_key="k")
    breaker = settings.defaults.breaker
    assert (breaker.failure_threshold, breaker.recovery_timeout) == (failures, recovery)
    assert breaker.failure_rate_threshold == rate
    assert settings.whole_timeout == timeout


def test_every_kind_has_bounds_on_everything():
    for kind in KINDS.values():
        assert kind.timeout <= 120.0
        assert kind.idle_timeout <= 60.0
        assert kind.breaker.failure_threshold


def test_named_timeouts_are_taken_from_the_central_table():
    settings = Provider(kind="custom", name="mine", model="m", client=Scripted())
    before = Timeouts.table()
    try:
        Timeouts.load({"default": 1.0})
        assert settings.whole_timeout == 30.0
        Timeouts.load({"llm": 9.0})
        assert settings.whole_timeout == 9.0
        Timeouts.load({"llm": 9.0, "llm.mine": 4.0})
        assert settings.whole_timeout == 4.0
    finally:
        Timeouts.load(before)


def test_keys_come_from_the_environment_and_a_missing_one_is_named(monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    settings = Provider(kind="groq", model="m", via="http")
    with pytest.raises(ValueError, match="GROQ_API_KEY"):
        LLMRouter([settings])


def test_secrets_are_in_no_repr():
    settings = Provider(
        kind="openai", model="m", api_key="sk-very-secret", headers={"x-token": "also-secret"}, via="http"
    )
    router = LLMRouter([settings])
    for shown in (repr(settings), repr(router), repr(router.stats()), repr(router.usage())):
        assert "secret" not in shown


def test_a_provider_is_made_of_a_mapping():
    made = Provider.from_mapping(
        {
            "kind": "openai",
            "model": "gpt",
            "prices": {"gpt": {"input": 1.0, "output": 2.0}},
            "breaker": {"failure_threshold": 7},
        }
    )
    assert made.price_of("gpt") == Price(1.0, 2.0)
    assert made.price_of("other") is None
    assert made.breaker.failure_threshold == 7
    one = Provider.from_mapping({"kind": "openai", "model": "gpt", "prices": {"input": 1.0}})
    assert one.price_of("any") == Price(1.0, 0.0)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("kind", "none", ValueError),
        ("model", "", ValueError),
        ("name", 5, ValueError),
        ("weight", 0.0, ValueError),
        ("weight", "much", TypeError),
        ("priority", 1.5, TypeError),
        ("rpm", -1, ValueError),
        ("tpm", float("nan"), ValueError),
        ("timeout", 0.0, ValueError),
        ("idle_timeout", float("inf"), ValueError),
        ("max_concurrent", 0, ValueError),
        ("max_response_bytes", 10, ValueError),
        ("breaker", 5, TypeError),
        ("via", "carrier pigeon", ValueError),
        ("base_url", "ftp://example.org", ValueError),
        ("api_key", "", ValueError),
        ("prices", 5, TypeError),
        ("models", {"a": 1}, TypeError),
        ("client", Scripted(), ValueError),
    ],
)
def test_a_mistake_is_named_when_a_provider_is_made(argument, value, error):
    with pytest.raises(error, match=argument):
        Provider(**{"kind": "openai", "model": "m", argument: value})


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_prices_are_numbers_that_can_be_paid(value):
    with pytest.raises(ValueError, match="input"):
        Price(value)
    with pytest.raises(TypeError, match="output"):
        Price(1.0, "free")


def test_the_first_example_of_the_guide_runs_as_pasted_without_any_provider(monkeypatch):
    guide = Path(__file__).parents[2] / "docs/how-to/providers.md"
    program = guide.read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = run(program.replace('via="http"', 'via="http", base_url="http://127.0.0.1:9"'))
    assert done.stdout.startswith("fallback: Nobody can answer right now."), done.stderr
    assert done.stdout.count("Nobody can answer") == 2


def test_type_checkers_read_the_names_that_programs_find():
    stub = Path(providers.__file__).with_suffix(".pyi").read_text()
    assert sorted(re.findall(r"(\w+) as \1", stub)) == providers.__all__
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        providers.nothing_of_the_kind  # noqa: B018 - asked for on purpose
