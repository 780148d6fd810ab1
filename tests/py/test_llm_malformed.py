"""Answers that are none: hundreds of kinds, made by putting every wrong thing in every place of every dialect."""

import copy

import pytest

from resilience.providers import MalformedAnswerError, StreamInterruptedError
from resilience.providers._llm.dialects import Reply
from resilience.providers._llm.dialects.chat import ChatDialect
from resilience.providers._llm.dialects.gemini import GeminiDialect
from resilience.providers._llm.dialects.messages import MessagesDialect
from resilience.providers._llm.dialects.ollama import OllamaDialect
from resilience.providers._llm.types import Usage

_CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
_GOOGLE_USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1}
DIALECTS = {
    "chat": ChatDialect(),
    "messages": MessagesDialect(),
    "gemini": GeminiDialect(),
    "ollama": OllamaDialect(),
}
REPLIES = {
    "chat": {
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
    },
    "messages": {
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
        "promptFeedback": {"blockReason": None},
        "usageMetadata": _GOOGLE_USAGE,
        "modelVersion": "m",
    },
    "ollama": {
        "model": "m",
        "message": {"role": "assistant", "content": "hi"},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 2,
    },
}
STREAMS = {
    "chat": [
        {"model": "m", "choices": [{"delta": {"content": "hi"}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": _CHAT_USAGE, "x_groq": {"usage": _CHAT_USAGE}},
    ],
    "messages": [
        {
            "type": "message_start",
            "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
    "gemini": [
        {"candidates": [{"content": {"parts": [{"text": "hi"}]}}], "modelVersion": "m"},
        {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": _GOOGLE_USAGE},
    ],
    "ollama": [
        {"model": "m", "message": {"content": "hi"}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2},
    ],
}
VECTORS = {
    "chat": {"data": [{"index": 0, "embedding": [0.5, 1.0]}], "usage": {"prompt_tokens": 3}},
    "gemini": {"embeddings": [{"values": [0.5, 1.0]}]},
    "ollama": {"embeddings": [[0.5, 1.0]], "prompt_eval_count": 3},
}
_ABSENT = object()
WRONG = [_ABSENT, None, True, 0, -1, 10**30, 1.5, float("nan"), "", "text", [], [None], [[]], {}, {"a": 1}]


def places(value, path=()):
    """The path of everything in a value, the value itself included."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def spoiled(value, path, wrong):
    """A copy with something else in one place."""
    if not path:
        return None if wrong is _ABSENT else wrong
    made = copy.deepcopy(value)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if wrong is _ABSENT:
        del holder[path[-1]]
    else:
        holder[path[-1]] = wrong
    return made


def kinds_of(value):
    return [spoiled(value, path, wrong) for path in places(value) for wrong in WRONG]


def check_usage(usage):
    assert usage is None or (type(usage) is Usage and 0 <= usage.total_tokens <= 4 * 10**9)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_spoiled_answer_is_read_rightly_or_named_malformed(name):
    dialect, malformed = DIALECTS[name], 0
    assert dialect.reply("p", REPLIES[name]).text == "hi"
    kinds = kinds_of(REPLIES[name])
    assert len(kinds) >= 100
    for body in kinds:
        try:
            reply = dialect.reply("p", body)
        except MalformedAnswerError as error:
            malformed += 1
            assert str(error).startswith("p: the answer")
            assert len(str(error)) < 200
        else:
            assert isinstance(reply, Reply)
            assert isinstance(reply.text, str)
            assert isinstance(reply.model, str | None)
            assert isinstance(reply.finish_reason, str | None)
            check_usage(reply.usage)
    assert malformed >= len(kinds) // 4


@pytest.mark.parametrize("name", DIALECTS)
def test_every_spoiled_stream_is_read_rightly_or_named(name):
    dialect, failed = DIALECTS[name], 0
    kinds = [
        [*STREAMS[name][:number], wrong, *STREAMS[name][number + 1 :]]
        for number, event in enumerate(STREAMS[name])
        for wrong in kinds_of(event)
    ]
    assert len(kinds) >= 150
    for events in [STREAMS[name], *kinds]:
        follower = dialect.follow("p")
        try:
            pieces = [piece for event in events if (piece := follower.read(event)) is not None]
        except (MalformedAnswerError, StreamInterruptedError) as error:
            failed += 1
            assert len(str(error)) < 600
        else:
            assert all(isinstance(piece.text, str) for piece in pieces)
            assert isinstance(follower.model, str | None)
            assert isinstance(follower.finish_reason, str | None)
            check_usage(follower.usage)
    assert failed >= len(kinds) // 5


@pytest.mark.parametrize("name", VECTORS)
def test_every_spoiled_embedding_is_read_rightly_or_named_malformed(name):
    dialect, malformed = DIALECTS[name], 0
    assert dialect.vectors("p", VECTORS[name])[0] == [[0.5, 1.0]]
    kinds = kinds_of(VECTORS[name])
    for body in kinds:
        try:
            vectors, usage = dialect.vectors("p", body)
        except MalformedAnswerError:
            malformed += 1
        else:
            assert all(type(number) in {int, float} for row in vectors for number in row)
            check_usage(usage)
    assert malformed >= len(kinds) // 3
