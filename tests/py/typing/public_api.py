"""What type checkers must see in the public API: mypy and pyright read this file, nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import resilience
from resilience.external import Answer, ApiSpec, Catalogue, ExternalApi, load_catalog
from resilience.providers import LLMRouter, Provider, StreamEvent, Usage


def a_clock_tells_seconds(clock: resilience.Clock) -> None:
    assert_type(clock.now(), float)
    assert_type(clock.time(), float)


def configuration_comes_from_a_path_or_a_mapping() -> None:
    assert_type(resilience.configure("settings.toml"), None)
    assert_type(resilience.configure(Path("settings.yaml")), None)
    assert_type(resilience.configure({"circuit_breakers": {"a": {"failure_threshold": 3}}}), None)
    assert_type(resilience.reload(), None)


def a_configuration_error_says_where(error: resilience.ConfigError) -> None:
    assert_type(error.key, str)
    assert_type(error.line, int | None)
    assert_type(error.reason, str)


async def a_router_answers_whole_and_in_pieces(provider: Provider) -> None:
    router = LLMRouter([provider, {"kind": "ollama", "model": "m"}], fallback="later")
    answer = await router.complete("hello", caller="ann", top_p=0.5)
    assert_type(answer.text, str)
    assert_type(answer.usage, Usage)
    assert_type(answer.cost, float | None)
    async for event in router.stream([{"role": "user", "content": "hello"}]):
        assert_type(event, StreamEvent)
    assert_type((await router.embed(["a"])).vectors, list[list[float]])
    assert_type(router.breakers, dict[str, resilience.CircuitBreaker])


async def an_external_api_gives_answers_with_their_age(api: ExternalApi) -> None:
    answer = await api.request("search", query="text", limit=5)
    assert_type(answer, Answer[Any])
    assert_type(answer.age, float)
    assert_type(answer.because, resilience.ResilienceError | None)
    assert_type(api.breaker, resilience.CircuitBreaker)


def a_catalogue_maps_names_to_apis() -> None:
    catalogue = load_catalog("apis.yaml")
    assert_type(catalogue, Catalogue)
    assert_type(catalogue["arxiv"], ApiSpec)
