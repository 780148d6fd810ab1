"""The official libraries that share OpenAI's shape: openai, its Azure client, and groq."""

from collections.abc import AsyncIterator
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.clients import ClientSettings, plain, translated
from resilience.providers._llm.transports import bounded_client

_SERVED = ("model", "messages", "stream", "input", "encoding_format")


class OpenAIClient:
    """Carries payloads through ``chat.completions`` and ``embeddings``.

    Args:
        settings: whom to ask.
        sdk: the library's client.
    """

    def __init__(self, settings: ClientSettings, sdk: Any) -> None:
        self._provider = settings.provider
        self._sdk = sdk

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        with translated(self._provider):
            return plain(self._provider, await self._sdk.chat.completions.create(**_split(payload)))

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            events = await self._sdk.chat.completions.create(**_split(payload))
            try:
                async for event in events:
                    yield plain(self._provider, event)
            finally:
                await events.close()

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Send texts to embed."""
        with translated(self._provider):
            return plain(self._provider, await self._sdk.embeddings.create(**_split(payload)))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.close()


def _split(payload: dict[str, Any]) -> dict[str, Any]:
    """What the library's functions always know by name; the rest goes into the body as it is."""
    known = {key: payload[key] for key in _SERVED if key in payload}
    return {**known, "extra_body": {key: value for key, value in payload.items() if key not in known}}


def make_openai(settings: ClientSettings) -> OpenAIClient:
    """OpenAI itself, and what is compatible with it."""
    openai = require("openai", settings.extra)
    return OpenAIClient(
        settings,
        openai.AsyncOpenAI(
            api_key=settings.api_key or "none",
            base_url=settings.base_url,
            max_retries=0,
            default_headers=dict(settings.headers),
            http_client=_http("httpx2", settings),
        ),
    )


def make_azure(settings: ClientSettings) -> OpenAIClient:
    """OpenAI's models on Azure; the model is the deployment."""
    openai = require("openai", settings.extra)
    return OpenAIClient(
        settings,
        openai.AsyncAzureOpenAI(
            api_key=settings.api_key or "none",
            azure_endpoint=settings.base_url,
            api_version=settings.api_version,
            max_retries=0,
            default_headers=dict(settings.headers),
            http_client=_http("httpx2", settings),
        ),
    )


def make_groq(settings: ClientSettings) -> OpenAIClient:
    """Groq; its library adds the path that plain HTTP has in the base URL."""
    groq = require("groq", settings.extra)
    return OpenAIClient(
        settings,
        groq.AsyncGroq(
            api_key=settings.api_key or "none",
            base_url=settings.base_url.rstrip("/").removesuffix("/openai/v1"),
            max_retries=0,
            default_headers=dict(settings.headers),
            http_client=_http("httpx", settings),
        ),
    )


def _http(library: str, settings: ClientSettings) -> Any:
    return bounded_client(
        library, settings.provider, settings.max_response_bytes, settings.extra, settings.api_key
    )
