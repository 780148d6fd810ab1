"""Anthropic's official library."""

from collections.abc import AsyncIterator
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.clients import ClientSettings, plain, translated
from resilience.providers._llm.errors import UnsupportedRequestError
from resilience.providers._llm.transports import bounded_client

_SERVED = ("model", "messages", "max_tokens", "stream")


class AnthropicClient:
    """Carries payloads through ``messages``.

    Args:
        settings: whom to ask.
    """

    def __init__(self, settings: ClientSettings) -> None:
        anthropic = require("anthropic", settings.extra)
        self._provider = settings.provider
        self._sdk = anthropic.AsyncAnthropic(
            api_key=settings.api_key,
            base_url=settings.base_url,
            max_retries=0,
            default_headers=dict(settings.headers),
            http_client=bounded_client(
                "httpx2", settings.provider, settings.max_response_bytes, settings.extra, settings.api_key
            ),
        )

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        with translated(self._provider):
            return plain(self._provider, await self._sdk.messages.create(**_split(payload)))

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            events = await self._sdk.messages.create(**_split(payload))
            try:
                async for event in events:
                    yield plain(self._provider, event)
            finally:
                await events.close()

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Refuse: Anthropic has no embeddings."""
        raise UnsupportedRequestError(
            self._provider, f"there are no embeddings, for {payload.get('model')} either"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()


def _split(payload: dict[str, Any]) -> dict[str, Any]:
    known = {key: payload[key] for key in _SERVED if key in payload}
    extra = {key: value for key, value in payload.items() if key not in known}
    # the library refuses a long answer without a stream unless it is told a timeout, which is ours to keep
    return {**known, "extra_body": extra, "timeout": None} if extra else {**known, "timeout": None}
