"""What carries requests to a provider: its official library, or plain HTTP.

A client carries the JSON of a dialect there and back and decides nothing: no retries, no timeouts of its own.
"""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from resilience.errors import ResilienceError
from resilience.providers._llm.bounded import answered
from resilience.providers._llm.errors import (
    BadRequestError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderError,
    StreamInterruptedError,
)


class Client(Protocol):
    """Carries payloads; also what a provider of one's own implements, in the dialect of chat completions."""

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request and return the answer's JSON."""

    def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield the JSON of each event."""

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Send texts to embed and return the answer's JSON."""

    async def aclose(self) -> None:
        """Close connections."""


@contextlib.asynccontextmanager
async def closing(events: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Close a stream at the end, where it can be closed: a client of one's own may yield by any iterator."""
    try:
        yield
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


class ClientSettings(NamedTuple):
    """What a client is made of."""

    provider: str
    api_key: str | None
    base_url: str
    headers: Mapping[str, str]
    api_version: str
    extra: str
    max_response_bytes: int


@contextlib.contextmanager
def translated(provider: str, *, stream: bool = False) -> Iterator[None]:
    """Turn whatever a client library raises into an error of this package.

    Its cause, when the transport below the library raised it, is the error itself; what was raised before anything
    was answered and isn't the network's is a mistake in the request; what comes after an answer is a malformed one.

    Raises:
        ProviderError: always one of these, the library's own error being its cause.
    """
    note: list[int] = []
    token = answered.set(note)
    try:
        yield
    except ResilienceError:
        raise
    except Exception as error:
        raise _translate(provider, error, answered=bool(note), stream=stream) from error
    finally:
        with contextlib.suppress(ValueError):  # a generator that is closed from another context
            answered.reset(token)


def _translate(provider: str, error: Exception, *, answered: bool, stream: bool) -> ProviderError:
    ours = _find(error, lambda link: isinstance(link, ProviderError))
    if isinstance(ours, ProviderError):
        return ours
    network = _find(error, _is_network)
    if network is not None:
        broke = StreamInterruptedError if stream and answered else ProviderConnectionError
        return broke(provider, f"{type(network).__name__}: {network}"[:500])
    if not answered:
        return BadRequestError(provider, f"the request can't be sent: {error}"[:500], 400)
    return MalformedAnswerError(provider, f"the answer can't be read ({type(error).__name__})")


def _find(error: BaseException, wanted: Any) -> BaseException | None:
    """The first link of a chain of causes that is wanted; chains are short, and may be rings."""
    link: BaseException | None = error
    for _ in range(10):
        if link is None or wanted(link):
            return link
        link = link.__cause__ or link.__context__
    return None


def _is_network(error: BaseException) -> bool:
    home = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or (
        home in {"httpx", "httpx2", "httpcore", "httpcore2"}
        and any(base.__name__ in {"TransportError", "StreamError"} for base in type(error).__mro__)
    )


def plain(provider: str, value: Any) -> Any:
    """The JSON of what an official library made of an answer."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str):  # what a library returns for a body that it takes for text
        return decoded(provider, value)
    raise MalformedAnswerError(provider, f"the answer is {type(value).__name__}, not an object")


def decoded(provider: str, text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        MalformedAnswerError: if it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(provider, f"the answer is not JSON ({type(error).__name__})") from error
