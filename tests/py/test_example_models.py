"""Which models the example asks: the upstream, and whoever has a key."""

import pytest

from models import UPSTREAM, Models, providers_of
from resilience import AllProvidersFailedError, State
from settings import Settings
from support.llm import Scripted, answer, chunk

KEYS = {"ANTHROPIC_API_KEY": "a-key", "GROQ_API_KEY": "another-key"}


class Upstream:
    """The upstream client of the example, with a script instead of a network."""

    def __init__(self, *script):
        self.scripted = Scripted(*script)

    async def post(self, _path, payload):
        return await self.scripted.chat(payload)

    def events(self, payload):
        return self.scripted.stream(payload)


class Services:
    """As much of the services as the models need."""

    def __init__(self, settings, *script):
        self.settings = settings
        self.upstream = Upstream(*script)
        self.runs = self
        self.recorded = []

    def used(self, *record):
        self.recorded.append(record)


def settings_of(**values):
    return Settings(_env_file=None, **values)


def test_without_keys_only_the_local_upstream_is_asked():
    assert [each.name for each in providers_of(settings_of(), Upstream())] == [UPSTREAM]


def test_with_keys_the_real_providers_are_asked_and_no_stand_in():
    made = providers_of(settings_of(**KEYS), Upstream())
    assert [(each.kind, each.priority) for each in made] == [("anthropic", 1), ("groq", 3)]


def test_a_configured_upstream_comes_before_the_others():
    made = providers_of(settings_of(**KEYS, OPENAI_API_KEY="third-key"), Upstream())
    assert [each.name for each in made] == [UPSTREAM, "anthropic", "groq"]
    assert "key" not in repr(made)


async def test_answers_and_streams_are_recorded_with_their_cost():
    stream = [chunk("a "), chunk("b", reason="stop"), chunk(usage=(1_000_000, 0))]
    services = Services(
        settings_of(prices={"local-small": (2.0, 4.0)}), answer("fine", usage=(0, 500_000)), stream
    )
    models = Models(services)
    async with models.router:
        assert (await models.complete("hello")).text == "fine"
        assert [piece async for piece in models.stream("hello")] == ["a ", "b"]
    assert services.recorded == [
        ("served", "chat", 0, 500_000, 2.0),
        ("served", "chat", 1_000_000, 0, 2.0),
    ]
    assert models.figures()["usage"]["cost_usd"] == 4.0


async def test_the_upstreams_own_error_reaches_the_breaker_outside_and_opens_none_inside():
    services = Services(settings_of(), ConnectionResetError("gone"))
    models = Models(services)
    async with models.router:
        for _ in range(20):
            with pytest.raises(ConnectionResetError):
                await models.complete("hello")
        assert models.router.breakers[UPSTREAM].state == State.CLOSED
    assert services.recorded == []


async def test_a_stream_that_breaks_off_raises_what_broke_it():
    models = Models(Services(settings_of(), [chunk("a "), ConnectionResetError("gone")]))
    pieces = []
    async with models.router:
        with pytest.raises(ConnectionResetError):
            async for piece in models.stream("hello"):
                pieces.append(piece)  # noqa: PERF401 - what came before the error is kept
    assert pieces == ["a "]


async def test_the_failures_of_several_are_told_together():
    models = Models(Services(settings_of(OPENAI_API_KEY="k", GROQ_API_KEY="k"), ConnectionResetError("gone")))
    async with models.router:
        models.router.breakers["groq"].force_open()
        with pytest.raises(AllProvidersFailedError):
            await models.complete("hello")
