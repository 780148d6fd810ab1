"""Anthropic's messages."""

from collections.abc import Mapping
from typing import Any

from resilience.providers._llm.dialects import Dialect, Follower, Piece, Reply, reading
from resilience.providers._llm.types import ChatRequest, Usage

_MAX_TOKENS = 1024  # the protocol wants a bound, also where the caller gives none


class MessagesDialect(Dialect):
    """Messages; there are no embeddings."""

    chat_path = "/v1/messages"
    stream_path = "/v1/messages"

    def chat(self, request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:
        """Write a chat request; system messages have a place of their own."""
        system = [str(m.get("content", "")) for m in request.messages if m["role"] == "system"]
        payload: dict[str, Any] = {
            "model": model,
            "max_tokens": request.max_tokens or _MAX_TOKENS,
            "messages": [dict(message) for message in request.messages if message["role"] != "system"],
        }
        if system:
            payload["system"] = "\n\n".join(system)
        if request.temperature is not None:
            payload["temperature"] = request.temperature
        if stream:
            payload["stream"] = True
        return {**payload, **request.options}

    def reply(self, provider: str, body: Any) -> Reply:
        """Read a whole answer: its blocks of text, one after the other."""
        body = reading.mapping(provider, body, "body")
        blocks = [
            reading.mapping(provider, block, "content block")
            for block in reading.items(provider, body, "content", empty=True)
        ]
        reason = reading.label(provider, body, "stop_reason")
        if not blocks and reason is None:
            raise reading.malformed(provider, "content", "a list that isn't empty", body.get("content"))
        return Reply(
            "".join(reading.text(provider, block, "text") for block in blocks if block.get("type") == "text"),
            reading.label(provider, body, "model"),
            reason,
            reading.usage(provider, body.get("usage"), "input_tokens", "output_tokens"),
        )

    def follow(self, provider: str) -> Follower:
        """Begin to read a stream."""
        return _MessagesFollower(provider)


class _MessagesFollower(Follower):
    """Input tokens come with the first event, output tokens as a running total with later ones."""

    def read(self, event: Any) -> Piece | None:
        event = reading.mapping(self.provider, event, "event")
        kind = reading.text(self.provider, event, "type")
        if kind == "error":
            raise self._broke_off(event.get("error"))
        if kind == "message_start":
            message = reading.mapping(self.provider, event.get("message"), "message")
            self.model = reading.label(self.provider, message, "model")
            self._count(message.get("usage"))
        elif kind == "message_delta":
            delta = reading.mapping(self.provider, event.get("delta"), "delta")
            self.finish_reason = reading.label(self.provider, delta, "stop_reason") or self.finish_reason
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.finished = True
        elif kind == "content_block_delta":
            delta = reading.mapping(self.provider, event.get("delta"), "delta")
            return Piece(reading.text(self.provider, delta, "text"), event)
        elif not kind:
            raise reading.malformed(self.provider, "event", "one with a type", event)
        return None

    def _count(self, counts: Any) -> None:
        found = reading.usage(self.provider, counts, "input_tokens", "output_tokens")
        if found is None:
            return
        before = self.usage or Usage()
        said = counts if isinstance(counts, Mapping) else {}
        self.usage = Usage(
            found.input_tokens if said.get("input_tokens") else before.input_tokens,
            max(found.output_tokens, before.output_tokens),
        )
