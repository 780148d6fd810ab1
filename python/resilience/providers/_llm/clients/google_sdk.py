"""Google's official library, for the Gemini API."""

from collections.abc import AsyncIterator
from typing import Any

from resilience.connections._optional import require
from resilience.providers._llm.clients import ClientSettings, plain, translated
from resilience.providers._llm.transports import bounded_client


class GoogleClient:
    """Carries payloads through ``aio.models``.

    Args:
        settings: whom to ask.
    """

    def __init__(self, settings: ClientSettings) -> None:
        genai = require("google.genai", settings.extra)
        self._provider = settings.provider
        self._http = bounded_client(
            "httpx2", settings.provider, settings.max_response_bytes, settings.extra, settings.api_key
        )
        self._sdk = genai.Client(
            api_key=settings.api_key,
            vertexai=False,
            http_options=genai.types.HttpOptions(
                base_url=settings.base_url,
                api_version=settings.api_version,
                headers=dict(settings.headers),
                httpx_async_client=self._http,
                retry_options=genai.types.HttpRetryOptions(attempts=1),
            ),
        )

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        with translated(self._provider):
            answer = await self._sdk.aio.models.generate_content(**_split(payload))
            return plain(self._provider, answer)

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            events = await self._sdk.aio.models.generate_content_stream(**_split(payload))
            try:
                async for event in events:
                    yield plain(self._provider, event)
            finally:
                await events.aclose()

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Send texts to embed."""
        with translated(self._provider):
            contents = [request["content"] for request in payload["requests"]]
            answer = await self._sdk.aio.models.embed_content(model=payload["model"], contents=contents)
            return plain(self._provider, answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.aio.aclose()
        self._sdk.close()
        await self._http.aclose()


def _split(payload: dict[str, Any]) -> dict[str, Any]:
    """The library wants all settings of a request in one object, by the same names."""
    beside = {
        key: value for key, value in payload.items() if key not in {"model", "contents", "generationConfig"}
    }
    settings = {**payload.get("generationConfig", {}), **beside}
    # tools that are declared to a model are for the caller to run
    settings["automaticFunctionCalling"] = {"disable": True}
    return {"model": payload["model"], "contents": payload["contents"], "config": settings}
