"""Ollama's own chat, one JSON object a line."""

from typing import Any, ClassVar

from resilience.providers._llm.dialects import Dialect, Follower, Piece, Reply, reading
from resilience.providers._llm.types import ChatRequest, Usage


class OllamaDialect(Dialect):
    """Chat and embeddings."""

    chat_path = "/api/chat"
    stream_path = "/api/chat"
    embed_path: ClassVar[str | None] = "/api/embed"

    def chat(self, request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:
        """Write a chat request."""
        options = dict(request.options)
        settings: dict[str, Any] = {}
        if request.max_tokens is not None:
            settings["num_predict"] = request.max_tokens
        if request.temperature is not None:
            settings["temperature"] = request.temperature
        settings.update(options.pop("options", {}))
        messages = [dict(message) for message in request.messages]
        payload: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
        if settings:
            payload["options"] = settings
        return {**payload, **options}

    def reply(self, provider: str, body: Any) -> Reply:
        """Read a whole answer."""
        body = reading.mapping(provider, body, "body")
        message = reading.mapping(provider, body.get("message"), "message")
        if body.get("done") is not True:
            raise reading.malformed(provider, "done", "true", body.get("done"))
        reason = reading.label(provider, body, "done_reason")
        model = reading.label(provider, body, "model")
        return Reply(reading.text(provider, message, "content"), model, reason, _usage(provider, body))

    def follow(self, provider: str) -> Follower:
        """Begin to read a stream."""
        return _OllamaFollower(provider)

    def embed(self, texts: tuple[str, ...], model: str) -> dict[str, Any]:
        """Write a request for embeddings."""
        return {"model": model, "input": list(texts)}

    def vectors(self, provider: str, body: Any) -> tuple[list[list[float]], Usage | None]:
        """Read embeddings."""
        body = reading.mapping(provider, body, "body")
        return reading.vectors(provider, reading.items(provider, body, "embeddings")), _usage(provider, body)


class _OllamaFollower(Follower):
    def read(self, event: Any) -> Piece | None:
        event = reading.mapping(self.provider, event, "event")
        if event.get("error") is not None:
            raise self._broke_off(event["error"])
        self.model = self.model or reading.label(self.provider, event, "model")
        message = reading.mapping(self.provider, event.get("message"), "message")
        if event.get("done") is True:
            self.finish_reason, self.finished = reading.label(self.provider, event, "done_reason"), True
            self.usage = _usage(self.provider, event)
        text = reading.text(self.provider, message, "content")
        others = any(message.get(key) for key in message if key not in {"content", "role"})
        return Piece(text, event) if text or others else None


def _usage(provider: str, body: Any) -> Usage | None:
    return reading.usage(provider, body, "prompt_eval_count", "eval_count")
