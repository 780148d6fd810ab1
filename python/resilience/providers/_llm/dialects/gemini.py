"""Google's Gemini."""

from collections.abc import Mapping
from typing import Any, ClassVar

from resilience.providers._llm.dialects import Dialect, Follower, Piece, Reply, reading
from resilience.providers._llm.types import ChatRequest, Usage


class GeminiDialect(Dialect):
    """Generated content and embeddings."""

    chat_path = "/{version}/models/{model}:generateContent"
    stream_path = "/{version}/models/{model}:streamGenerateContent?alt=sse"
    embed_path: ClassVar[str | None] = "/{version}/models/{model}:batchEmbedContents"
    model_in_path = True

    def chat(self, request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:  # noqa: ARG002 - the address says it
        """Write a chat request; system messages have a place of their own."""
        system = [part for m in request.messages if m["role"] == "system" for part in _parts(m)]
        settings: dict[str, Any] = {}
        if request.max_tokens is not None:
            settings["maxOutputTokens"] = request.max_tokens
        if request.temperature is not None:
            settings["temperature"] = request.temperature
        payload: dict[str, Any] = {
            "model": model,
            "contents": [
                {"role": "model" if message["role"] == "assistant" else "user", "parts": _parts(message)}
                for message in request.messages
                if message["role"] != "system"
            ],
        }
        if system:
            payload["systemInstruction"] = {"parts": system}
        options = dict(request.options)
        settings.update(options.pop("generationConfig", {}))
        if settings:
            payload["generationConfig"] = settings
        return {**payload, **options}

    def reply(self, provider: str, body: Any) -> Reply:
        """Read a whole answer."""
        body = reading.mapping(provider, body, "body")
        blocked = _blocked(provider, body)
        if blocked is not None and not body.get("candidates"):
            return Reply("", reading.label(provider, body, "modelVersion"), blocked, _usage(provider, body))
        candidate = reading.first(provider, body, "candidates")
        reason = reading.label(provider, candidate, "finishReason")
        text, others = _content(provider, candidate)
        if not text and not others and reason is None:
            raise reading.malformed(provider, "content", "an object with parts", candidate.get("content"))
        return Reply(text, reading.label(provider, body, "modelVersion"), reason, _usage(provider, body))

    def follow(self, provider: str) -> Follower:
        """Begin to read a stream."""
        return _GeminiFollower(provider)

    def embed(self, texts: tuple[str, ...], model: str) -> dict[str, Any]:
        """Write a request for embeddings."""
        return {
            "model": model,
            "requests": [
                {"model": f"models/{model}", "content": {"parts": [{"text": text}]}} for text in texts
            ],
        }

    def vectors(self, provider: str, body: Any) -> tuple[list[list[float]], Usage | None]:
        """Read embeddings."""
        body = reading.mapping(provider, body, "body")
        rows = [
            reading.mapping(provider, row, "embedding") for row in reading.items(provider, body, "embeddings")
        ]
        return reading.vectors(provider, [row.get("values") for row in rows]), _usage(provider, body)


class _GeminiFollower(Follower):
    def read(self, event: Any) -> Piece | None:
        event = reading.mapping(self.provider, event, "event")
        if event.get("error") is not None:
            raise self._broke_off(event["error"])
        self.model = self.model or reading.label(self.provider, event, "modelVersion")
        self.usage = _usage(self.provider, event) or self.usage
        blocked = _blocked(self.provider, event)
        if blocked is not None:
            self.finish_reason, self.finished = blocked, True
        if event.get("candidates") is None:
            if self.usage is None and blocked is None:
                raise reading.malformed(self.provider, "candidates", "a list", None)
            return None
        candidate = reading.first(self.provider, event, "candidates")
        reason = reading.label(self.provider, candidate, "finishReason")
        if reason is not None:
            self.finish_reason, self.finished = reason, True
        text, others = _content(self.provider, candidate)
        return Piece(text, event) if text or others else None


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        return [dict(part) if isinstance(part, Mapping) else {"text": str(part)} for part in content]
    return [{"text": "" if content is None else str(content)}]


def _content(provider: str, candidate: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of a candidate, and whether it holds anything else."""
    content = candidate.get("content")
    if content is None:
        return "", False
    content = reading.mapping(provider, content, "content")
    parts = content.get("parts")
    if parts is None:
        return "", False
    parts = [
        reading.mapping(provider, part, "part")
        for part in reading.items(provider, content, "parts", empty=True)
    ]
    spoken = [part for part in parts if not part.get("thought")]
    text = "".join(reading.text(provider, part, "text") for part in spoken)
    return text, any(not isinstance(part.get("text"), str) or part.get("thought") for part in parts)


def _blocked(provider: str, body: Mapping[str, Any]) -> str | None:
    feedback = body.get("promptFeedback")
    if feedback is None:
        return None
    return reading.label(provider, reading.mapping(provider, feedback, "promptFeedback"), "blockReason")


def _usage(provider: str, body: Mapping[str, Any]) -> Usage | None:
    """Thoughts are paid for as output."""
    counts = body.get("usageMetadata")
    answer = reading.usage(provider, counts, "promptTokenCount", "candidatesTokenCount")
    thoughts = reading.usage(provider, counts, "promptTokenCount", "thoughtsTokenCount")
    if answer is None or thoughts is None:
        return answer
    return Usage(answer.input_tokens, answer.output_tokens + thoughts.output_tokens)
