"""Hugging Face's official library."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.clients import ClientSettings, plain, translated
from resilience.providers._llm.errors import UnsupportedRequestError
from resilience.providers._llm.transports import bounded_client

_SERVED = ("messages", "model", "stream")


class HuggingFaceClient:
    """Carries payloads through ``chat_completion``.

    The library's client keeps each streamed answer until it is closed itself, so that each call has one of its own;
    all of them share one pool of connections.

    Args:
        settings: whom to ask.
    """

    def __init__(self, settings: ClientSettings) -> None:
        library: Any = require("huggingface_hub", settings.extra)
        pool = bounded_client(
            "httpx2", settings.provider, settings.max_response_bytes, settings.extra, settings.api_key
        )

        class Sharing(library.AsyncInferenceClient):  # type: ignore[misc]
            async def _get_async_client(self) -> Any:
                return pool

        self._provider = settings.provider
        self._pool = pool
        self._make: Callable[[], Any] = functools.partial(
            Sharing, base_url=settings.base_url, api_key=settings.api_key, headers=dict(settings.headers)
        )

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        with translated(self._provider):
            async with self._make() as sdk:
                return plain(self._provider, await sdk.chat_completion(**_split(payload)))

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            async with self._make() as sdk:
                async for event in await sdk.chat_completion(**_split(payload)):
                    yield plain(self._provider, event)

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Refuse: its embeddings are of another kind for each model."""
        raise UnsupportedRequestError(
            self._provider, f"there are no embeddings, for {payload.get('model')} either"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def _split(payload: dict[str, Any]) -> dict[str, Any]:
    known = {key: payload[key] for key in _SERVED if key in payload}
    return {**known, "extra_body": {key: value for key, value in payload.items() if key not in known}}
