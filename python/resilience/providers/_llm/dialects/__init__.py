"""How providers' requests are written and their answers read: plain translation, no network, no library.

A dialect turns a request into the JSON that the provider documents and reads its JSON back; clients only carry it.
Whatever an answer holds, reading it either works or raises `MalformedAnswerError`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from resilience.providers._llm.errors import StreamInterruptedError
from resilience.providers._llm.types import ChatRequest, Usage


class Reply(NamedTuple):
    """What a whole answer says."""

    text: str
    model: str | None
    finish_reason: str | None
    usage: Usage | None


class Piece(NamedTuple):
    """A piece of a streamed answer; the text is empty for pieces of another kind."""

    text: str
    raw: Any


class Follower:
    """Reads one stream, event by event, and knows in the end whether it was whole."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.finished = False

    def read(self, event: Any) -> Piece | None:
        """Return the piece that an event brings, or ``None`` for one that brings nothing of the answer.

        Raises:
            MalformedAnswerError: if the event is none of this dialect.
            StreamInterruptedError: if it says that the answer broke off.
        """
        raise NotImplementedError

    def _broke_off(self, error: Any) -> StreamInterruptedError:
        message = error.get("message") if isinstance(error, Mapping) else error
        return StreamInterruptedError(self.provider, f"the stream reports an error: {str(message)[:500]}")


class Dialect:
    """One protocol of the field; where it has no embeddings, ``embed_path`` is ``None``."""

    #: where a chat request goes, below the base URL; may name ``{model}`` and ``{version}``
    chat_path: ClassVar[str]
    #: where a streamed one goes
    stream_path: ClassVar[str]
    #: where texts to embed go
    embed_path: ClassVar[str | None] = None
    #: whether the addresses say which model, so that bodies don't
    model_in_path: ClassVar[bool] = False

    def chat(self, request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:
        """Write a chat request."""
        raise NotImplementedError

    def reply(self, provider: str, body: Any) -> Reply:
        """Read a whole answer."""
        raise NotImplementedError

    def follow(self, provider: str) -> Follower:
        """Begin to read a stream."""
        raise NotImplementedError

    def embed(self, texts: tuple[str, ...], model: str) -> dict[str, Any]:
        """Write a request for embeddings."""
        raise NotImplementedError

    def vectors(self, provider: str, body: Any) -> tuple[list[list[float]], Usage | None]:
        """Read embeddings."""
        raise NotImplementedError
