"""A minute's outage at ten requests a second, played through on a manual clock: what reaches the one that is down."""

import asyncio

import pytest

from resilience.providers import LLMRouter, Provider, ProviderConnectionError, ProviderStatusError
from resilience.providers._llm.kinds import KINDS
from resilience.testing import ManualClock
from support.llm import answer, provider
from support.until import settle

STEP = 0.1
OUTAGE = 600  # steps


class Down:
    """A client of a provider that is down for a time, in one of three ways."""

    def __init__(self, clock, fault):
        self._clock = clock
        self._fault = fault
        self.down = False
        self.arrived = []

    async def chat(self, _payload):
        if not self.down:
            return answer()
        self.arrived.append(self._clock.now())
        if self._fault is None:
            await asyncio.Event().wait()
        raise self._fault

    async def aclose(self):
        self.down = False


async def play(router, clock, steps):
    """Begin a request each step, however long it takes; returns their tasks."""
    tasks = []
    for _ in range(steps):
        tasks.append(asyncio.create_task(router.complete("hello")))
        await settle()
        clock.advance(STEP)
    return tasks


REFUSED = ProviderConnectionError("first", "refused")
BROKEN = ProviderStatusError("first", "down", 503)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("openai", REFUSED), ("anthropic", BROKEN), ("openai", None), ("google", None)],
    ids=["openai refusing", "anthropic broken", "openai hanging", "google hanging"],
)
async def test_an_outage_of_a_minute_costs_at_most_four_attempts_and_no_caller_notices(kind, fault):
    clock = ManualClock()
    client = Down(clock, fault)
    limits = {"breaker": KINDS[kind].breaker, "timeout": KINDS[kind].timeout}
    first = Provider(kind="custom", name="first", model="m", client=client, max_concurrent=1_000, **limits)
    second, _ = provider("second", priority=1)
    third, third_client = provider("third", priority=2)
    opened = []
    async with LLMRouter([first, second, third], clock=clock) as router:
        router.breakers["first"].add_listener(
            lambda event: opened.append(clock.now()) if type(event).__name__ == "StateChanged" else None
        )
        assert {task.result().provider for task in await play(router, clock, 20)} == {"first"}
        client.down = True
        tasks = await play(router, clock, OUTAGE)
        client.down = False
        clock.advance(120.0)
        answers = await asyncio.gather(*tasks)
        assert {each.provider for each in answers} <= {"second", "first"}
        await play(router, clock, 20)
        assert (await router.complete("hello")).provider == "first"
    beyond = [at for at in client.arrived if at > opened[0]]
    assert len(beyond) <= 4
    if fault is not None:  # nothing was in flight for long
        assert len(client.arrived) - len(beyond) == limits["breaker"].failure_threshold
    assert third_client.calls == 0
