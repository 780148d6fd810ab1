"""Requests and tokens a minute, budgets, and who pays what."""

import asyncio
import json
import random

import pytest

from resilience import AllProvidersFailedError, RateLimitedError, State
from resilience.providers import (
    Budget,
    BudgetExceededError,
    LLMRouter,
    Price,
    ProviderConnectionError,
    ProviderStatusError,
    UnpricedModelError,
    Usage,
)
from resilience.providers._llm.ledger import Call, Ledger
from resilience.providers._llm.token_rate import TokenRate
from resilience.testing import ManualClock
from support.llm import answer, chunk, provider
from support.until import settle

PRICE = Price(2.0, 10.0)  # dollars a million tokens
MILLION = answer(usage=(500_000, 100_000))  # costs 2 dollars


async def refused(router, **arguments):
    with pytest.raises(AllProvidersFailedError) as caught:
        await router.complete("hello", **arguments)
    [(_, error)] = caught.value.attempts
    return error


async def test_requests_a_minute_hand_over_to_the_next_and_are_no_failure():
    clock = ManualClock()
    first, client = provider("first", rpm=5)
    second, _ = provider("second", priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        answered = [(await router.complete("hello")).provider for _ in range(20)]
        assert answered == ["first"] * 5 + ["second"] * 15
        assert router.breakers["first"].failure_count == 0
        clock.advance(12.0)
        assert [(await router.complete("hello")).provider for _ in range(2)] == ["first", "second"]
    assert client.calls == 6


async def test_tokens_a_minute_are_corrected_by_what_was_really_used():
    clock = ManualClock()
    first, client = provider("first", answer(usage=(400, 100)), tpm=1000)
    async with LLMRouter([first], clock=clock) as router:
        await router.complete("hello", max_tokens=100)  # estimated at 106, used 500
        await router.complete("hello", max_tokens=100)  # 606 fit, 1000 used
        error = await refused(router, max_tokens=100)
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == pytest.approx(106 * 0.06)
        assert router.breakers["first"].state == State.CLOSED
        clock.advance(error.retry_after)
        await router.complete("hello", max_tokens=100)
    assert client.calls == 3


def test_tokens_used_never_run_ahead_of_the_rate_for_long():
    rng = random.Random(11)
    clock = ManualClock()
    rate = TokenRate(6_000, clock)
    used = 0
    for _ in range(5_000):
        clock.advance(rng.expovariate(1.0))
        estimate, really = rng.randint(1, 500), rng.randint(1, 900)
        if rate.take(estimate) == 0.0:
            rate.settle(estimate, really)
            used += really
        assert used <= 6_000 + clock.now() * 100.0 + 900
    assert used >= clock.now() * 100.0 * 0.95


def test_a_call_larger_than_a_minutes_tokens_waits_for_a_full_minute_and_goes():
    clock = ManualClock()
    rate = TokenRate(100, clock)
    assert rate.take(10_000) == 0.0
    assert rate.take(1) > 0.0
    rate.settle(10_000, 100)
    clock.advance(60.0)
    assert rate.take(10_000) == 0.0


async def test_concurrent_calls_are_bounded():
    held = asyncio.Event()
    first, client = provider("first", held, max_concurrent=3)
    async with LLMRouter([first], fallback="later") as router:
        tasks = [asyncio.create_task(router.complete("hello")) for _ in range(10)]
        await settle()
        assert client.calls == 3
        held.set()
        await asyncio.gather(*tasks)


async def test_usage_and_cost_are_kept_by_provider_model_and_caller():
    first, _ = provider("first", MILLION, prices=PRICE, models={"large": "first-large"})
    second, _ = provider("second", answer(usage=None), priority=1)
    async with LLMRouter([first, second]) as router:
        found = await router.complete("hello", caller="ann")
        assert found.cost == pytest.approx(2.0)
        await router.complete("hello", caller="bob", model="large")
        router.breakers["first"].force_open()
        await router.complete("hello", caller="ann")
        usage = router.usage()
        assert router.cost == pytest.approx(4.0)
    assert usage["calls"] == 3
    assert usage["cost_usd"] == pytest.approx(4.0)
    assert usage["callers"]["ann"]["calls"] == 2
    assert usage["callers"]["bob"]["cost_usd"] == pytest.approx(2.0)
    assert usage["models"]["first-large"]["input_tokens"] == 500_000
    assert usage["providers"]["second"]["estimated_calls"] == 1
    assert usage["providers"]["second"]["unpriced_calls"] == 1
    assert usage["providers"]["first"]["estimated_calls"] == 0
    json.dumps(usage)


async def test_what_was_refused_or_never_arrived_costs_nothing():
    first, _ = provider("first", ProviderConnectionError("first", "down"), prices=PRICE)
    second, _ = provider("second", ProviderStatusError("second", "no", 500), prices=PRICE, priority=1)
    async with LLMRouter([first, second], fallback="later", budgets=[Budget(usd=1.0)]) as router:
        await router.complete("hello")
        usage = router.usage()
    assert usage["calls"] == 0
    assert usage["budgets"][0]["spent_usd"] == 0.0
    assert usage["budgets"][0]["reserved_usd"] == 0.0


@pytest.mark.parametrize(
    "fault",
    [ProviderStatusError("first", "slow down", 429, 5.0), {"error": {"message": "overloaded"}}],
    ids=["refused", "error event"],
)
async def test_what_a_stream_gave_before_it_was_refused_is_counted(fault):
    first, _ = provider("first", [chunk("one two three four"), fault], prices=PRICE)
    async with LLMRouter([first], budgets=[Budget(usd=1.0)]) as router:
        events = [event async for event in router.stream("hello")]
        usage = router.usage()
    assert [event.type for event in events] == ["text", "error"]
    assert (usage["calls"], usage["estimated_calls"], usage["output_tokens"]) == (1, 1, 5)
    assert usage["budgets"][0]["spent_usd"] == usage["cost_usd"] > 0.0
    assert usage["budgets"][0]["reserved_usd"] == 0.0


async def test_a_spent_budget_refuses_until_its_next_period():
    clock = ManualClock()
    first, client = provider("first", MILLION, prices=PRICE)
    async with LLMRouter([first], budgets=[Budget(usd=5.0, per=3600.0)], clock=clock) as router:
        for _ in range(3):
            await router.complete("hello")
        for _ in range(5):
            error = await refused(router)
            assert isinstance(error, BudgetExceededError)
        assert 0.0 < error.retry_after <= 3600.0
        assert router.breakers["first"].state == State.CLOSED
        clock.advance(error.retry_after)
        await router.complete("hello")
    assert client.calls == 4


async def test_budgets_of_a_provider_and_of_each_caller_leave_the_others_alone():
    first, _ = provider("first", MILLION, prices=PRICE)
    second, _ = provider("second", MILLION, prices=PRICE, priority=1)
    budgets = [Budget(usd=3.0, provider="first"), Budget(usd=5.0, each_caller=True)]
    async with LLMRouter([first, second], budgets=budgets, fallback="later") as router:
        ann = [(await router.complete("hello", caller="ann")).provider for _ in range(4)]
        bob = [(await router.complete("hello", caller="bob")).provider for _ in range(4)]
    assert ann == ["first", "first", "second", "fallback"]
    assert bob == ["second", "second", "second", "fallback"]


async def test_calls_under_way_count_against_a_budget_by_their_estimate():
    held = asyncio.Event()
    first, client = provider("first", held, prices=Price(0.0, 1_000_000.0))
    async with LLMRouter([first], budgets=[Budget(usd=1000.0)], fallback="later") as router:
        tasks = [asyncio.create_task(router.complete("hello", max_tokens=300)) for _ in range(10)]
        await settle()
        assert client.calls == 3
        held.set()
        await asyncio.gather(*tasks)
        assert router.usage()["budgets"][0]["reserved_usd"] == 0.0


def test_a_budget_without_prices_is_refused_at_construction():
    with pytest.raises(ValueError, match="budgets need prices"):
        LLMRouter([provider("first")[0]], budgets=[Budget(usd=1.0)])


async def test_a_model_without_a_price_is_not_asked_under_a_budget():
    first, client = provider("first", prices={"a-model": PRICE})
    async with LLMRouter([first], budgets=[Budget(usd=1.0)]) as router:
        assert isinstance(await refused(router, model="unheard-of"), UnpricedModelError)
        assert router.breakers["first"].failure_count == 0
    assert client.calls == 0


def test_a_wall_clock_that_is_set_back_starts_no_new_period():
    class Wall(ManualClock):
        shift = 0.0

        def time(self):
            return 1_000_000.0 + self.shift

    clock = Wall()
    ledger = Ledger([Budget(usd=1.0, per=100.0)], 10, clock)
    call = Call("p", "m", "c")
    ledger.reserve(call, PRICE, Usage(0, 1)).settle(Usage(500_000, 0))
    clock.shift = -100_000.0
    with pytest.raises(BudgetExceededError):
        ledger.reserve(call, PRICE, Usage(0, 1))


def test_tallies_are_bounded_and_lose_no_call():
    ledger = Ledger([], 100, ManualClock())
    for number in range(10_000):
        ledger.reserve(Call("p", "m", f"caller-{number}"), PRICE, Usage()).settle(Usage(1, 1))
    report = ledger.report()
    assert report["calls"] == 10_000
    assert len(report["callers"]) == 101
    assert report["callers"]["(others)"]["calls"] == 9_900


def test_callers_with_budgets_of_their_own_are_bounded():
    ledger = Ledger([Budget(usd=1.0, each_caller=True)], 10, ManualClock())
    for number in range(12_000):
        ledger.reserve(Call("p", "m", f"caller-{number}"), PRICE, Usage()).settle(Usage(1, 1))
    [account] = ledger._accounts
    assert len(account._spent) <= 10_001


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"usd": 0.0}, ValueError),
        ({"usd": "1"}, TypeError),
        ({"usd": 1.0, "per": 0.0}, ValueError),
        ({"usd": 1.0, "caller": 5}, TypeError),
        ({"usd": 1.0, "caller": "ann", "each_caller": True}, ValueError),
    ],
)
def test_a_budget_is_checked_when_it_is_made(settings, error):
    with pytest.raises(error, match=list(settings)[-1] if len(settings) < 3 else "caller"):
        Budget(**settings)
