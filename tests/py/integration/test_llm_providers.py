"""Each kind of provider over real sockets, by its official library and by plain HTTP, against a mock of them all."""

import pytest

from resilience import AllProvidersFailedError, State
from resilience.providers import (
    BadCredentialsError,
    BadRequestError,
    LLMRouter,
    Provider,
    ProviderStatusError,
    StreamInterruptedError,
    UnknownModelError,
    Usage,
)
from resilience.testing import ManualClock
from support.aimock import aimock, aimock_server  # noqa: F401 - fixtures

_PATHS = {"openai": "/v1", "groq": "/openai/v1", "huggingface": "/v1", "openai_compatible": "/v1"}
_SDKS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google.genai",
    "groq": "groq",
    "azure": "openai",
    "huggingface": "huggingface_hub",
    "ollama": "ollama",
}
WAYS = [
    *((kind, "sdk") for kind in _SDKS),
    *((kind, "http") for kind in (*_SDKS, "openai_compatible")),
]
every_way = pytest.mark.parametrize(("kind", "via"), WAYS, ids=["-".join(way) for way in WAYS])


def provider(server, kind, via, **settings):
    if via == "sdk":
        pytest.importorskip(_SDKS[kind], reason=f"the official library of {kind} is not installed")
    settings = {"model": "a-model", "api_key": "sk-of-the-test", **settings}
    return Provider(kind=kind, base_url=server.url + _PATHS.get(kind, ""), via=via, **settings)


async def events_of(router, prompt):
    return [event async for event in router.stream(prompt)]


def check_usage(kind, usage):
    """What the mock was told to say, which its Ollama doesn't: it says zero, so that an estimate stands there."""
    said = Usage(11, 7) if kind != "ollama" else Usage(8, 14, estimated=True)
    assert usage == said


@every_way
async def test_an_answer_comes_whole_with_the_providers_own_usage(aimock, kind, via):  # noqa: F811
    async with LLMRouter([provider(aimock, kind, via)]) as router:
        answer = await router.complete("please answer", max_tokens=50, temperature=0.5)
    assert answer.text == aimock.answer
    assert answer.provider == kind
    check_usage(kind, answer.usage)
    assert len(aimock.journal()) == 1


@every_way
async def test_a_stream_comes_in_pieces_and_ends_with_usage(aimock, kind, via):  # noqa: F811
    async with LLMRouter([provider(aimock, kind, via)]) as router:
        events = await events_of(router, "please answer")
    assert "".join(event.text for event in events) == aimock.answer
    assert sum(event.type == "text" for event in events) > 2
    assert events[-1].type == "end"
    check_usage(kind, events[-1].usage)


@every_way
async def test_a_429_opens_the_provider_for_its_retry_after_without_a_second_attempt(aimock, kind, via):  # noqa: F811
    clock = ManualClock()
    async with LLMRouter([provider(aimock, kind, via)], clock=clock) as router:
        with pytest.raises(AllProvidersFailedError) as caught:
            await router.complete("too many")
        [(_, error)] = caught.value.attempts
        assert isinstance(error, ProviderStatusError)
        assert (error.status_code, error.retry_after) == (429, 17.0)
        breaker = router.breakers[kind]
        assert breaker.state == State.OPEN
        assert breaker.opened_until == 17.0
        for _ in range(5):
            with pytest.raises(AllProvidersFailedError):
                await router.complete("please answer")
        assert len(aimock.journal()) == 1
        clock.advance(17.0)
        assert (await router.complete("please answer")).text == aimock.answer
    assert len(aimock.journal()) == 2


@every_way
async def test_a_stream_that_breaks_off_ends_with_an_explicit_error(aimock, kind, via):  # noqa: F811
    async with LLMRouter([provider(aimock, kind, via)], fallback="not for this") as router:
        events = await events_of(router, "break off")
        assert events[0].type == "text"
        assert events[0].text
        assert [event.type for event in events].count("error") == 1
        assert events[-1].type == "error"
        assert isinstance(events[-1].error, StreamInterruptedError)
        assert router.breakers[kind].failure_count == 1
        assert router.usage()["estimated_calls"] == 1
    assert len(aimock.journal()) == 1


@every_way
async def test_a_total_outage_takes_few_attempts_and_then_none(aimock, kind, via):  # noqa: F811
    clock = ManualClock()
    async with LLMRouter([provider(aimock, kind, via)], clock=clock, fallback="try again later") as router:
        for _ in range(20):
            answer = await router.complete("fall over")
            assert answer.text == "try again later"
            assert answer.is_fallback
        events = await events_of(router, "fall over")
        assert [event.type for event in events] == ["text", "end"]
        breaker = router.breakers[kind]
        assert breaker.state == State.OPEN
        assert len(aimock.journal()) == breaker.config.failure_threshold


@every_way
async def test_another_provider_takes_over_before_the_first_token(aimock, kind, via):  # noqa: F811
    first = provider(aimock, kind, via, name="first")
    second = provider(aimock, "openai_compatible", "http", name="second", priority=1)
    async with LLMRouter([first, second]) as router:
        aimock.fail_next()
        answer = await router.complete("please answer")
        assert answer.provider == "second"
        assert [name for name, _ in answer.attempts] == ["first"]
        aimock.fail_next()
        events = await events_of(router, "please answer")
        assert {event.provider for event in events} == {"second"}
        assert events[-1].type == "end"
    assert len(aimock.journal()) == 4


@every_way
async def test_a_callers_own_mistakes_are_named_and_open_nothing(aimock, kind, via):  # noqa: F811
    mistakes = {
        "refuse the key": BadCredentialsError,
        "refuse the model": UnknownModelError,
        "refuse the request": BadRequestError,
    }
    async with LLMRouter([provider(aimock, kind, via)]) as router:
        for prompt, error in mistakes.items():
            for _ in range(5):
                with pytest.raises(error, match=kind):
                    await router.complete(prompt)
        breaker = router.breakers[kind]
        assert breaker.state == State.CLOSED
        assert breaker.failure_count == 0
    assert len(aimock.journal()) == 15


@pytest.mark.parametrize(
    ("kind", "via"),
    [(kind, via) for kind, via in WAYS if kind in {"openai", "azure", "groq", "openai_compatible"}],
)
async def test_embeddings_come_in_the_order_of_their_texts(aimock, kind, via):  # noqa: F811
    async with LLMRouter([provider(aimock, kind, via)]) as router:
        found = await router.embed(["embed me", "embed me"])
    assert found.vectors == [[0.25, -0.5, 1.0]] * 2
    assert found.provider == kind
