"""Streamed answers: who gives them, how long they may pause, and what a caller sees when they break off."""

import asyncio
import contextlib

import pytest

from resilience import AllProvidersFailedError, CallTimeoutError, State
from resilience.providers import (
    BadRequestError,
    LLMRouter,
    MalformedAnswerError,
    ProviderConnectionError,
    StreamInterruptedError,
    Usage,
)
from resilience.testing import ManualClock
from support.llm import chunk, provider
from support.until import settle

WHOLE = [chunk("one "), chunk("two"), chunk(reason="stop"), chunk(usage=(9, 4))]
DOWN = ProviderConnectionError("first", "no route to host")


async def events_of(router, **arguments):
    return [event async for event in router.stream("hello", **arguments)]


async def test_a_whole_stream_ends_with_the_final_usage():
    first, client = provider("first", WHOLE)
    async with LLMRouter([first]) as router:
        events = await events_of(router)
        assert router.usage()["output_tokens"] == 4
    assert [event.text for event in events] == ["one ", "two", ""]
    assert [event.type for event in events] == ["text", "text", "end"]
    assert events[-1].usage == Usage(9, 4)
    assert events[-1].finish_reason == "stop"
    assert client.payloads[0]["stream"] is True
    assert client.payloads[0]["stream_options"] == {"include_usage": True}


async def test_usage_that_nobody_said_is_estimated_and_marked():
    first, _ = provider("first", WHOLE[:3])
    async with LLMRouter([first]) as router:
        events = await events_of(router)
    assert events[-1].usage == Usage(6, 2, estimated=True)


@pytest.mark.parametrize(
    "fault",
    [[DOWN], [], [chunk("")], [{"error": {"message": "overloaded"}}], ["nonsense"], [chunk(), DOWN]],
    ids=["no connection", "empty", "no text", "error event", "malformed", "only a role"],
)
async def test_another_takes_over_before_the_first_token(fault):
    first, _ = provider("first", fault)
    second, _ = provider("second", WHOLE, priority=1)
    async with LLMRouter([first, second]) as router:
        events = await events_of(router)
        assert router.breakers["first"].failure_count == 1
    assert {event.provider for event in events} == {"second"}
    assert "".join(event.text for event in events) == "one two"
    assert events[-1].type == "end"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ([ConnectionResetError("reset")], ConnectionResetError),
        ([StreamInterruptedError("first", "gone")], StreamInterruptedError),
        ([], StreamInterruptedError),
        ([{"error": {"message": "overloaded"}}], StreamInterruptedError),
        ([{"choices": 5}], MalformedAnswerError),
        (["text"], MalformedAnswerError),
    ],
    ids=["reset", "gone", "truncated", "error event", "malformed", "no object"],
)
async def test_after_the_first_token_a_failure_is_one_explicit_event_and_nobody_else_is_asked(fault, error):
    first, _ = provider("first", [chunk("one "), *fault])
    second, client = provider("second", WHOLE, priority=1)
    async with LLMRouter([first, second], fallback="unused") as router:
        events = await events_of(router)
        assert router.breakers["first"].failure_count == 1
        assert router.usage()["estimated_calls"] == 1
    assert [event.type for event in events] == ["text", "error"]
    assert isinstance(events[-1].error, error)
    assert client.calls == 0


async def test_a_first_token_that_does_not_come_hands_over():
    clock = ManualClock()
    first, client = provider("first", [chunk(), asyncio.Event()], first_token_timeout=5.0)
    second, _ = provider("second", WHOLE, priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        waiting = asyncio.create_task(events_of(router))
        await settle()
        clock.advance(4.9)
        await settle()
        assert not waiting.done()
        clock.advance(0.1)
        events = await waiting
    assert {event.provider for event in events} == {"second"}
    assert client.cancelled == 1


async def test_a_pause_between_pieces_that_is_too_long_ends_with_an_error():
    clock = ManualClock()
    first, client = provider("first", [chunk("one "), asyncio.Event(), chunk("late")], idle_timeout=3.0)
    async with LLMRouter([first], clock=clock) as router:
        waiting = asyncio.create_task(events_of(router))
        await settle()
        clock.advance(2.9)
        await settle()
        assert not waiting.done()
        clock.advance(0.1)
        events = await waiting
        assert router.breakers["first"].failure_count == 1
    assert [event.type for event in events] == ["text", "error"]
    assert isinstance(events[-1].error, CallTimeoutError)
    assert client.cancelled == 1


async def test_a_caller_who_leaves_early_closes_the_stream_and_pays_an_estimate():
    first, client = provider("first", [chunk("one two three four"), asyncio.Event(), chunk("five")])
    async with LLMRouter([first]) as router:
        async with contextlib.aclosing(router.stream("hello")) as events:
            assert (await anext(events)).text.startswith("one")
        breaker = router.breakers["first"]
        assert (breaker.failure_count, breaker.success_count) == (0, 1)
        usage = router.usage()
    assert (usage["calls"], usage["estimated_calls"], usage["output_tokens"]) == (1, 1, 5)
    assert client.calls == 1


async def test_cancelling_a_stream_is_no_verdict():
    first, client = provider("first", [chunk("one "), asyncio.Event()])
    async with LLMRouter([first]) as router:
        waiting = asyncio.create_task(events_of(router))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert router.breakers["first"].failure_count == 0
    assert client.cancelled == 1


async def test_open_breakers_are_routed_around_by_streams_too():
    clock = ManualClock()
    first, client = provider("first", [DOWN])
    second, _ = provider("second", WHOLE, priority=1)
    async with LLMRouter([first, second], clock=clock) as router:
        for _ in range(20):
            assert (await events_of(router))[-1].provider == "second"
        assert router.breakers["first"].state == State.OPEN
    assert client.calls == 3


async def test_a_total_outage_is_raised_before_anything_was_streamed():
    first, _ = provider("first", [DOWN])
    async with LLMRouter([first]) as router:
        with pytest.raises(AllProvidersFailedError, match="no route"):
            await events_of(router)


async def test_a_fallback_is_streamed_as_an_answer():
    first, _ = provider("first", [DOWN])
    async with LLMRouter([first], fallback="later") as router:
        events = await events_of(router)
    assert [(event.type, event.text, event.provider) for event in events] == [
        ("text", "later", "fallback"),
        ("end", "", "fallback"),
    ]


async def test_a_wrong_request_is_raised_from_a_stream_too():
    first, _ = provider("first", [BadRequestError("first", "wrong", 400)])
    second, client = provider("second", WHOLE, priority=1)
    async with LLMRouter([first, second]) as router:
        with pytest.raises(BadRequestError, match="wrong"):
            await events_of(router)
    assert client.calls == 0


async def test_a_client_of_ones_own_may_stream_by_any_iterator():
    class Events:
        def __init__(self):
            self.left = list(WHOLE)

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    first, client = provider("first")
    client.stream = lambda _payload: Events()
    async with LLMRouter([first]) as router:
        assert "".join([event.text for event in await events_of(router)]) == "one two"


async def test_pieces_that_are_no_text_keep_a_stream_alive_and_carry_their_event():
    call = {"choices": [{"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}]}
    first, _ = provider("first", [chunk(), call, chunk(reason="tool_calls")])
    async with LLMRouter([first]) as router:
        events = await events_of(router)
    assert [event.type for event in events] == ["text", "end"]
    assert events[0].raw == call
    assert events[0].text == ""
