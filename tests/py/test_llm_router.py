"""Which provider is asked, and what a caller sees when one doesn't answer."""

import asyncio
import pickle
import random
from collections import Counter

import pytest

from resilience import AllProvidersFailedError, CircuitOpenError, State
from resilience.providers import (
    AnswerTooLargeError,
    BadCredentialsError,
    BadRequestError,
    BudgetExceededError,
    Completion,
    LLMRouter,
    MalformedAnswerError,
    Price,
    ProviderConnectionError,
    ProviderStatusError,
    UnknownModelError,
    Usage,
)
from resilience.testing import ManualClock
from support.llm import answer, provider
from support.until import settle

DOWN = ProviderConnectionError("first", "no route to host")
BUSY = ProviderStatusError("first", "slow down", 429, 40.0)


async def test_the_first_in_priority_answers_alone():
    low, low_client = provider("low", priority=5)
    high, _ = provider("high", priority=1)
    async with LLMRouter([low, high]) as router:
        found = await router.complete("hello", caller="ann")
    assert (found.text, found.provider, found.model) == ("fine", "high", "served")
    assert found.attempts == ()
    assert low_client.calls == 0
    assert low_client.closed


async def test_the_next_answers_when_one_fails_and_the_failure_is_kept():
    first, _ = provider("first", DOWN)
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second]) as router:
        found = await router.complete("hello")
    assert found.provider == "second"
    assert found.attempts == (("first", DOWN),)


async def test_an_open_breaker_is_routed_around_without_an_attempt():
    clock = ManualClock()
    first, client = provider("first", DOWN)
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        for _ in range(50):
            assert (await router.complete("hello")).provider == "second"
        assert client.calls == 3
        assert router.breakers["first"].state == State.OPEN
        [(_, error)] = (await router.complete("hello")).attempts
        assert isinstance(error, CircuitOpenError)
        assert error.__traceback__ is None  # it would keep the whole request alive


async def test_one_probe_brings_a_provider_back_and_no_herd():
    clock = ManualClock()
    held = asyncio.Event()
    first, client = provider("first", DOWN, DOWN, DOWN, held, answer())
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        for _ in range(3):
            await router.complete("hello")
        clock.advance(31.0)
        waiting = asyncio.create_task(router.complete("hello"))
        await settle()
        others = [await router.complete("hello") for _ in range(20)]
        assert {each.provider for each in others} == {"second"}
        assert client.calls == 4
        held.set()
        assert (await waiting).provider == "second"  # the held answer was none
        assert router.breakers["first"].state == State.OPEN
        assert client.calls == 4


async def test_retry_after_opens_the_provider_for_that_long():
    clock = ManualClock()
    first, client = provider("first", BUSY, answer("back"))
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        assert (await router.complete("hello")).provider == "second"
        assert router.breakers["first"].opened_until == 40.0
        clock.advance(39.0)
        assert (await router.complete("hello")).provider == "second"
        assert client.calls == 1
        clock.advance(1.0)
        assert (await router.complete("hello")).text == "back"


@pytest.mark.parametrize("wait", [-1.0, 0.0, float("nan"), 1e9, None])
async def test_absurd_retry_afters_are_ignored_or_clamped(wait):
    clock = ManualClock()
    first, _ = provider("first", ProviderStatusError("first", "no", 503, wait))
    async with LLMRouter([first], clock=clock, fallback="later") as router:
        await router.complete("hello")
        until = router.breakers["first"].opened_until
    assert until is None or until <= 300.0


async def test_a_total_outage_names_every_attempt():
    first, _ = provider("first", DOWN)
    second, _ = provider("second", MalformedAnswerError("second", "nonsense"), priority=1)
    async with LLMRouter([first, second]) as router:
        with pytest.raises(AllProvidersFailedError, match=r"first.*no route.*second.*nonsense") as caught:
            await router.complete("hello")
    assert [name for name, _ in caught.value.attempts] == ["first", "second"]
    assert caught.value.retry_after is None
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


async def test_a_total_outage_says_when_the_first_may_answer_again():
    clock = ManualClock()
    first, _ = provider("first", BUSY)
    second, _ = provider("second", ProviderStatusError("second", "no", 503, 15.0), priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        for passed, left in ((0.0, 15.0), (5.0, 10.0)):
            clock.advance(passed)
            with pytest.raises(AllProvidersFailedError) as caught:
                await router.complete("hello")
            assert caught.value.retry_after == left


ERRORS = [
    DOWN,
    BUSY,
    BadCredentialsError("first", "wrong", 401),
    AnswerTooLargeError("first", "large"),
    BudgetExceededError("all calls", 5.0),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_pickle(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.args, str(again)) == (error.args, str(error))


async def _written(messages):
    return f"nobody answers {messages[-1]['content']!r}"


@pytest.mark.parametrize(
    ("fallback", "text"),
    [
        ("later", "later"),
        (lambda _messages: "made", "made"),
        (_written, "nobody answers 'hello'"),
        (Completion("whole", "mine", "none", Usage()), "whole"),
    ],
)
async def test_the_fallback_answers_when_nobody_does(fallback, text):
    first, _ = provider("first", DOWN)
    async with LLMRouter([first], fallback=fallback) as router:
        found = await router.complete("hello")
    assert found.text == text
    assert found.attempts == (("first", DOWN),)


async def test_a_wrong_request_is_raised_at_once_and_opens_nothing():
    first, _ = provider("first", BadRequestError("first", "messages are wrong", 400))
    second, client = provider("second", priority=1)
    async with LLMRouter([first, second], fallback="unused") as router:
        for _ in range(10):
            with pytest.raises(BadRequestError, match="messages are wrong"):
                await router.complete("hello")
        assert router.breakers["first"].failure_count == 0
        assert router.breakers["first"].state == State.CLOSED
    assert client.calls == 0


@pytest.mark.parametrize(("kind", "status"), [(BadCredentialsError, 401), (UnknownModelError, 404)])
async def test_what_is_set_up_wrongly_is_passed_over_and_said_once(kind, status, caplog):
    first, _ = provider("first", kind("first", "wrong", status))
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second]) as router:
        for _ in range(5):
            assert (await router.complete("hello")).provider == "second"
        assert router.breakers["first"].state == State.CLOSED
    assert sum("is passed over" in record.message for record in caplog.records) == 1


async def test_weights_share_out_what_has_one_priority():
    rng = random.Random(5)
    heavy, _ = provider("heavy", weight=3.0)
    light, _ = provider("light", weight=1.0)
    async with LLMRouter([heavy, light], rng=rng) as router:
        asked = Counter([(await router.complete("hello")).provider for _ in range(400)])
    assert 270 <= asked["heavy"] <= 330
    assert asked.total() == 400


async def test_cheapest_first_asks_by_price_and_those_without_one_last():
    prices = {"dear": Price(10.0, 30.0), "cheap": Price(0.1, 0.4), "unknown": None}
    made = [provider(name, DOWN, prices=price)[0] for name, price in prices.items()]
    async with LLMRouter(made, order="cheapest", fallback="none") as router:
        found = await router.complete("hello")
    assert [name for name, _ in found.attempts] == ["cheap", "dear", "unknown"]


async def test_fastest_first_learns_who_is_fast_and_still_looks_at_others():
    clock = ManualClock()

    class Timed:
        def __init__(self, seconds):
            self.seconds = seconds

        async def chat(self, _payload):
            clock.advance(self.seconds)
            return answer()

    slow, slow_client = provider("slow")
    fast, fast_client = provider("fast")
    slow_client.chat, fast_client.chat = Timed(2.0).chat, Timed(0.5).chat
    async with LLMRouter(
        [slow, fast], order="fastest", exploration=0.1, rng=random.Random(3), clock=clock
    ) as router:
        asked = Counter([(await router.complete("hello")).provider for _ in range(200)])
        latencies = {each["provider"]: each["latency"]["chat"] for each in router.stats()}
    assert asked["fast"] >= 170
    assert asked["slow"] >= 2
    assert latencies == pytest.approx({"slow": 2.0, "fast": 0.5})


async def test_who_only_ever_failed_is_not_asked_first_for_being_unknown():
    wrong, client = provider("wrong", BadCredentialsError("wrong", "no", 401))
    right, _ = provider("right", priority=1)
    async with LLMRouter([wrong, right], order="fastest", exploration=0.0) as router:
        for _ in range(10):
            assert (await router.complete("hello")).provider == "right"
    assert client.calls == 1


async def test_models_are_asked_of_those_who_serve_them_by_their_own_names():
    first, first_client = provider("first", models={"small": "first-small"})
    second, second_client = provider("second", models={"large": "second-large"}, priority=1)
    async with LLMRouter([first, second]) as router:
        assert (await router.complete("hello", model="large")).provider == "second"
        assert (await router.complete("hello", model="small")).provider == "first"
        await router.complete("hello", model="unheard-of")
    assert [payload["model"] for payload in second_client.payloads] == ["second-large"]
    assert [payload["model"] for payload in first_client.payloads] == ["first-small", "unheard-of"]


async def test_a_slow_call_ends_with_the_providers_own_timeout():
    clock = ManualClock()
    first, client = provider("first", asyncio.Event(), timeout=7.0)
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        waiting = asyncio.create_task(router.complete("hello"))
        await settle()
        clock.advance(6.9)
        await settle()
        assert not waiting.done()
        clock.advance(0.1)
        found = await waiting
        assert found.provider == "second"
        assert router.breakers["first"].failure_count == 1
    assert client.cancelled == 1


async def test_a_hedge_asks_the_next_while_the_first_is_slow_and_cancels_the_loser():
    clock = ManualClock()
    first, first_client = provider("first", asyncio.Event())
    second, second_client = provider("second", answer("quick"), priority=1)
    async with LLMRouter([first, second], hedge=0.5, clock=clock) as router:
        waiting = asyncio.create_task(router.complete("hello"))
        await settle()
        assert second_client.calls == 0
        clock.advance(0.5)
        assert (await waiting).text == "quick"
        assert router.breakers["first"].failure_count == 0
    assert first_client.cancelled == 1


async def test_a_hedged_request_asks_each_provider_once_and_reports_every_failure():
    clock = ManualClock()
    held = asyncio.Event()
    first, first_client = provider("first", held)
    second, second_client = provider("second", DOWN, priority=1)
    async with LLMRouter([first, second], hedge=0.5, clock=clock) as router:
        waiting = asyncio.create_task(router.complete("hello"))
        await settle()
        clock.advance(0.5)
        await settle()
        held.set()  # answers with nothing at all
        with pytest.raises(AllProvidersFailedError) as caught:
            await waiting
    assert sorted(name for name, _ in caught.value.attempts) == ["first", "second"]
    assert (first_client.calls, second_client.calls) == (1, 1)


async def test_cancelling_a_request_is_no_verdict_and_reaches_nobody_else():
    first, client = provider("first", asyncio.Event())
    second, second_client = provider("second", priority=1)
    async with LLMRouter([first, second]) as router:
        waiting = asyncio.create_task(router.complete("hello"))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert router.breakers["first"].failure_count == 0
    assert (client.cancelled, second_client.calls) == (1, 0)


async def test_embeddings_pass_over_those_who_offer_none_and_count_what_comes_back():
    rows = {"data": [{"index": 1, "embedding": [2, 2]}, {"index": 0, "embedding": [1, 1]}]}
    short = {"data": [{"index": 0, "embedding": [1, 1]}]}
    first, _ = provider("first", short)
    second, client = provider("second", rows, priority=1, embedding_model="vectors")
    async with LLMRouter([first, second]) as router:
        found = await router.embed(["a", "b"])
    assert found.vectors == [[1, 1], [2, 2]]
    assert found.usage.estimated
    assert client.payloads[0]["model"] == "vectors"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"messages": ""}, None),
        ({"messages": []}, ValueError),
        ({"messages": [{"content": "x"}]}, TypeError),
        ({"messages": "x", "max_tokens": 0}, ValueError),
        ({"messages": "x", "max_tokens": 1.5}, TypeError),
        ({"messages": "x", "temperature": 3.0}, ValueError),
        ({"messages": "x", "caller": 5}, TypeError),
        ({"messages": "x", "model": 5}, TypeError),
    ],
)
async def test_arguments_of_a_call_are_checked_before_anybody_is_asked(arguments, error):
    first, client = provider("first")
    async with LLMRouter([first]) as router:
        if error is None:
            assert (await router.complete(**arguments)).text == "fine"
            return
        with pytest.raises(error):
            await router.complete(**arguments)
    assert client.calls == 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"providers": []}, ValueError),
        ({"providers": "openai"}, TypeError),
        ({"providers": [5]}, TypeError),
        ({"order": "random"}, ValueError),
        ({"exploration": 2.0}, ValueError),
        ({"max_tallies": 0}, ValueError),
        ({"hedge": -1.0}, ValueError),
        ({"hedge": "p0"}, ValueError),
        ({"clock": 5}, TypeError),
        ({"budgets": [5]}, TypeError),
    ],
)
def test_a_router_is_checked_when_it_is_made(settings, error):
    (name,) = settings
    with pytest.raises(error, match=name if name != "hedge" else "delay"):
        LLMRouter(**{"providers": [provider("first")[0]], **settings})


def test_two_providers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        LLMRouter([provider("same")[0], provider("same")[0]])
