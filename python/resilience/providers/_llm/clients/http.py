"""Plain HTTP to any provider, in its own dialect."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from resilience.providers._llm.clients import ClientSettings, decoded, translated
from resilience.providers._llm.dialects import Dialect
from resilience.providers._llm.transports import bounded_client

_DONE = "[DONE]"


class HttpClient:
    """Sends JSON and reads JSON, server-sent events or lines of JSON.

    Args:
        settings: whom to ask.
        dialect: where its services are.
        auth: headers that carry the key.
    """

    def __init__(self, settings: ClientSettings, dialect: Dialect, auth: dict[str, str]) -> None:
        self._provider = settings.provider
        self._base = settings.base_url.rstrip("/")
        self._version = settings.api_version
        self._dialect = dialect
        self._headers = {**auth, **settings.headers}
        self._http = bounded_client(
            "httpx2", settings.provider, settings.max_response_bytes, "http", settings.api_key
        )

    async def chat(self, payload: dict[str, Any]) -> Any:
        """Send a chat request."""
        return await self._post(self._dialect.chat_path, payload)

    async def embed(self, payload: dict[str, Any]) -> Any:
        """Send texts to embed."""
        return await self._post(str(self._dialect.embed_path), payload)

    async def stream(self, payload: dict[str, Any]) -> AsyncIterator[Any]:
        """Send a chat request and yield its events."""
        with translated(self._provider, stream=True):
            url, body = self._address(self._dialect.stream_path, payload)
            async with self._http.stream("POST", url, json=body, headers=self._headers) as response:
                lines = "event-stream" not in response.headers.get("content-type", "")
                async for line in response.aiter_lines():
                    data = line if lines else _data(line)
                    if data.strip() == _DONE:
                        break
                    if data.strip():
                        yield decoded(self._provider, data)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, payload: dict[str, Any]) -> Any:
        with translated(self._provider):
            url, body = self._address(path, payload)
            response = await self._http.post(url, json=body, headers=self._headers)
            return decoded(self._provider, response.content)

    def _address(self, path: str, payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The URL, and the payload without what the URL says."""
        model = quote(str(payload.get("model", "")), safe="")
        if self._dialect.model_in_path:
            payload = {key: value for key, value in payload.items() if key != "model"}
        return self._base + path.format(model=model, version=self._version), payload


def _data(line: str) -> str:
    """The data of a line of server-sent events; all providers put an event's data on one line."""
    return line[5:] if line.startswith("data:") else ""
