"""Ollama's official library."""

from collections.abc import AsyncIterator
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.clients import ClientSettings, plain, translated
from resilience.providers._llm.transports import bounded_transport


class OllamaClient:
    """Carries payloads through ``chat`` and ``embed``.

    Args:
        settings: whom to ask.
    """

    def __init__(self, settings: ClientSettings) -> None:
        ollama = require("ollama", settings.extra)
        require("httpx", settings.extra)
        headers = dict(settings.headers)
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.api_key}"
        self._provider = settings.provider
        self._sdk = ollama.AsyncClient(
            host=settings.base_url,
            headers=headers,
            transport=bounded_transport(
                "httpx", settings.provider, settings.max_response_bytes, settings.api_key
            ),
        )

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        with translated(self._provider):
            return plain(self._provider, await self._sdk.chat(**payload))

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            events = await self._sdk.chat(**payload)
            try:
                async for event in events:
                    yield plain(self._provider, event)
            finally:
                await events.aclose()

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Send texts to embed."""
        with translated(self._provider):
            return plain(self._provider, await self._sdk.embed(**payload))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()
