"""What a router is asked and what it answers, whoever the provider is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from resilience._checks import number
from resilience._types import type_name
from resilience.providers._llm.latencies import Purpose

_CHARACTERS_PER_TOKEN = 4  # of English prose, by the tokenizers of all large vendors
_TOKENS_PER_MESSAGE = 4  # roles and separators
_HOTTEST = 2.0  # temperature that any provider takes
_EXPECTED_OUTPUT = 256  # tokens, where no max_tokens bounds the answer


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    Attributes:
        input_tokens: of the prompt.
        output_tokens: of the answer.
        estimated: whether the provider didn't say, so that these are estimates from the length of the texts.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars a million tokens.

    Args:
        input: for tokens of the prompt, >= 0.
        output: for tokens of the answer, >= 0.

    Raises:
        TypeError: for something that isn't a number.
        ValueError: for a number below 0.
    """

    input: float
    output: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("input", self.input), ("output", self.output)):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(
                    f"{name} must be a number of dollars a million tokens, got {type_name(value)}"
                )
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number of dollars >= 0 a million tokens, got {value!r}")

    def of(self, usage: Usage) -> float:
        """Dollars for these tokens."""
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request in nobody's dialect; ``options`` go into the provider's request as they are."""

    messages: tuple[Mapping[str, Any], ...]
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    caller: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False

    @property
    def purpose(self) -> Purpose:
        """What latencies are told apart by."""
        return "stream" if self.stream else "chat"

    @property
    def expected(self) -> Usage:
        """An estimate of what it will take."""
        return Usage(
            sum(tokens_of(len(_text_of(message))) + _TOKENS_PER_MESSAGE for message in self.messages),
            self.max_tokens or _EXPECTED_OUTPUT,
            estimated=True,
        )


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to embed."""

    texts: tuple[str, ...]
    model: str | None = None
    caller: str | None = None

    @property
    def purpose(self) -> Purpose:
        """What latencies are told apart by."""
        return "embed"

    @property
    def expected(self) -> Usage:
        """An estimate of what it will take."""
        return Usage(sum(tokens_of(len(text)) for text in self.texts), estimated=True)


Request = ChatRequest | EmbedRequest


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer.

    Attributes:
        text: of the answer; empty for one that consists of tool calls, see ``raw``.
        provider: who gave it; ``"fallback"`` for the router's own fallback answer.
        model: which gave it, as the provider names it.
        usage: tokens it took.
        cost: US dollars; ``None`` where no price is known.
        finish_reason: why it ended, in the provider's words.
        attempts: the providers that were asked before in vain, with their errors.
        raw: the provider's whole answer.
    """

    text: str
    provider: str
    model: str
    usage: Usage
    cost: float | None = None
    finish_reason: str | None = None
    attempts: tuple[tuple[str, BaseException], ...] = ()
    raw: Any = field(default=None, repr=False)

    @property
    def is_fallback(self) -> bool:
        """Whether no provider answered and this is the router's fallback."""
        return self.provider == "fallback"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A piece of a streamed answer.

    Attributes:
        type: ``"text"`` for a piece of the answer, ``"end"`` once at its regular end, or ``"error"`` once where it
            broke off after its first piece.
        text: the piece; may be empty for pieces that are no text, such as tool calls, see ``raw``.
        provider: who gives the answer; ``"fallback"`` for the router's own.
        model: which gives it.
        usage: with the end: tokens that it took.
        cost: with the end: US dollars, ``None`` where no price is known.
        finish_reason: with the end: why, in the provider's words.
        error: what broke it off.
        raw: the provider's own event.
    """

    type: Literal["text", "end", "error"]
    text: str = ""
    provider: str = ""
    model: str = ""
    usage: Usage | None = None
    cost: float | None = None
    finish_reason: str | None = None
    error: BaseException | None = None
    raw: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors, in the order of the texts.

    Attributes:
        vectors: one a text.
        provider: who made them.
        model: which made them.
        usage: tokens they took.
        cost: US dollars; ``None`` where no price is known.
    """

    vectors: list[list[float]]
    provider: str
    model: str
    usage: Usage
    cost: float | None = None


def tokens_of(characters: int) -> int:
    """Estimate the tokens of a text from its length."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def chat_request(
    messages: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None,
    max_tokens: int | None,
    temperature: float | None,
    caller: str | None,
    options: Mapping[str, Any],
    stream: bool = False,
) -> ChatRequest:
    """Check what a caller asks for.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for one out of its range.
    """
    for name, value in (("model", model), ("caller", caller)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a string or None, got {type_name(value)}")
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int)):
        raise TypeError(f"max_tokens must be an integer or None, got {type_name(max_tokens)}")
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens must be an integer >= 1, got {max_tokens}")
    if temperature is not None and not 0.0 <= number("temperature", temperature) <= _HOTTEST:
        raise ValueError(f"temperature must be a number in [0, {_HOTTEST:g}] or None, got {temperature!r}")
    return ChatRequest(_checked(messages), model, max_tokens, temperature, caller, dict(options), stream)


def embed_request(texts: Any, model: str | None, caller: str | None) -> EmbedRequest:
    """Check what a caller wants embedded; raises as `chat_request` does."""
    listed = (texts,) if isinstance(texts, str) else tuple(texts)
    if not listed or not all(isinstance(text, str) for text in listed):
        raise TypeError("texts must be a text, or a sequence of at least one")
    for name, value in (("model", model), ("caller", caller)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a string or None, got {type_name(value)}")
    return EmbedRequest(listed, model, caller)


def _checked(messages: Any) -> tuple[Mapping[str, Any], ...]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, Sequence) or not messages:
        raise ValueError(
            "messages must be a text, or a sequence of at least one {'role': ..., 'content': ...}"
        )
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise TypeError(
                f"messages must be mappings with a 'role' and a 'content', got {type_name(message)}"
            )
    return tuple(messages)


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
