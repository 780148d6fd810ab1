"""OpenAI's chat completions, which Azure, Groq, Hugging Face and most others speak too."""

from typing import Any, ClassVar

from resilience.providers._llm.dialects import Dialect, Follower, Piece, Reply, reading
from resilience.providers._llm.errors import MalformedAnswerError
from resilience.providers._llm.types import ChatRequest, Usage


class ChatDialect(Dialect):
    """Chat completions and embeddings.

    Args:
        max_tokens_key: what the bound on the answer is called.
        asks_for_usage: whether ``stream_options`` may ask for the final usage of a stream.
    """

    chat_path = "/chat/completions"
    stream_path = "/chat/completions"
    embed_path: ClassVar[str | None] = "/embeddings"

    def __init__(self, *, max_tokens_key: str = "max_tokens", asks_for_usage: bool = True) -> None:
        self._max_tokens_key = max_tokens_key
        self._asks_for_usage = asks_for_usage

    def chat(self, request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:
        """Write a chat request."""
        payload: dict[str, Any] = {
            "model": model,
            "messages": [dict(message) for message in request.messages],
        }
        if request.max_tokens is not None:
            payload[self._max_tokens_key] = request.max_tokens
        if request.temperature is not None:
            payload["temperature"] = request.temperature
        if stream:
            payload["stream"] = True
            if self._asks_for_usage:
                payload["stream_options"] = {"include_usage": True}
        return {**payload, **request.options}

    def reply(self, provider: str, body: Any) -> Reply:
        """Read a whole answer."""
        body = reading.mapping(provider, body, "body")
        choice = reading.first(provider, body, "choices")
        message = reading.mapping(provider, choice.get("message"), "message")
        content = reading.text(provider, message, "content")
        if not content and not (
            message.get("tool_calls") or message.get("refusal") or choice.get("finish_reason")
        ):
            raise MalformedAnswerError(provider, "the answer has neither content nor tool calls nor an end")
        return Reply(
            content,
            reading.label(provider, body, "model"),
            reading.label(provider, choice, "finish_reason"),
            _usage(provider, body),
        )

    def follow(self, provider: str) -> Follower:
        """Begin to read a stream."""
        return _ChatFollower(provider)

    def embed(self, texts: tuple[str, ...], model: str) -> dict[str, Any]:
        """Write a request for embeddings."""
        return {"model": model, "input": list(texts), "encoding_format": "float"}

    def vectors(self, provider: str, body: Any) -> tuple[list[list[float]], Usage | None]:
        """Read embeddings; their order is that of their indexes."""
        body = reading.mapping(provider, body, "body")
        rows = [reading.mapping(provider, row, "data") for row in reading.items(provider, body, "data")]
        indexes = [row.get("index", place) for place, row in enumerate(rows)]
        if not all(type(index) is int for index in indexes) or sorted(indexes) != list(range(len(rows))):
            raise MalformedAnswerError(provider, "the indexes of the answer's embeddings are not 0, 1, 2 ...")
        ordered = [row for _, row in sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])]
        found = reading.vectors(provider, [row.get("embedding") for row in ordered])
        return found, _usage(provider, body)


class AzureDialect(ChatDialect):
    """The same on Azure, where the model is a deployment and the address names it."""

    chat_path = "/openai/deployments/{model}/chat/completions?api-version={version}"
    stream_path = chat_path
    embed_path: ClassVar[str | None] = "/openai/deployments/{model}/embeddings?api-version={version}"


class HuggingFaceDialect(ChatDialect):
    """The same at Hugging Face's router, which embeds nothing."""

    embed_path: ClassVar[str | None] = None


class _ChatFollower(Follower):
    def read(self, event: Any) -> Piece | None:
        event = reading.mapping(self.provider, event, "event")
        if event.get("error") is not None:
            raise self._broke_off(event["error"])
        self.model = self.model or reading.label(self.provider, event, "model")
        self.usage = _usage(self.provider, event) or self.usage
        if not reading.items(self.provider, event, "choices", empty=True):
            return None
        choice = reading.first(self.provider, event, "choices")
        reason = reading.label(self.provider, choice, "finish_reason")
        if reason is not None:
            self.finish_reason, self.finished = reason, True
        delta = choice.get("delta")
        delta = {} if delta is None else reading.mapping(self.provider, delta, "delta")
        content = reading.text(self.provider, delta, "content")
        others = any(delta.get(key) for key in delta if key not in {"content", "role"})
        return Piece(content, event) if content or others else None


def _usage(provider: str, body: Any) -> Usage | None:
    found = reading.usage(provider, body.get("usage"), "prompt_tokens", "completion_tokens")
    beside = body.get("x_groq")  # where Groq put it before it took stream_options
    if found is None and isinstance(beside, dict):
        found = reading.usage(provider, beside.get("usage"), "prompt_tokens", "completion_tokens")
    return found
