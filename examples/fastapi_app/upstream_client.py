"""The client of the language model: HTTP in the OpenAI dialect, through the server's pool of connections.

It protects nothing by itself: who calls it decides with which breaker.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
from fastapi import FastAPI

from services import Services
from settings import Settings
from upstream_process import LocalUpstream

Used = Callable[[str, str, int, int], None]  # model, operation, tokens of the prompt, tokens of the answer


class MalformedAnswerError(Exception):
    """The upstream answered 200 with a body that isn't what the dialect says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, with the provider's own count of what it used."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class UpstreamClient:
    """Completions, embeddings and streams of one upstream."""

    def __init__(self, settings: Settings, base_url: str, http: aiohttp.ClientSession, used: Used) -> None:
        self._settings = settings
        self._used = used
        self._base_url = base_url.rstrip("/")
        self._http = http
        key = settings.openai_api_key
        self._headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    async def complete_many(self, prompts: Sequence[str], *, max_tokens: int | None = None) -> list[str]:
        """Answer several prompts in one call, in their order."""
        limit = max_tokens or self._settings.max_tokens
        body = {"model": self._settings.completion_model, "prompt": list(prompts), "max_tokens": limit}
        answer = await self.post("/v1/completions", body)
        with _as_malformed():
            choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
            texts = [str(choice["text"]) for choice in choices]
            self._note_usage(answer, "completions")
        return texts

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector a text, in their order."""
        body = {"model": self._settings.embedding_model, "input": list(texts)}
        answer = await self.post("/v1/embeddings", body)
        with _as_malformed():
            data = sorted(answer["data"], key=lambda item: int(item["index"]))
            vectors = [[float(x) for x in item["embedding"]] for item in data]
            self._note_usage(answer, "embeddings")
        return vectors

    async def events(self, payload: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send a chat request and yield the events of its stream."""
        async with self._request("POST", "/v1/chat/completions", payload) as response:
            async for raw in response.content:
                line = raw.decode().rstrip("\r\n")
                if line == "data: [DONE]":
                    return
                if line.startswith("data: "):
                    with _as_malformed():
                        event = dict(json.loads(line[6:]))
                    yield event
        raise MalformedAnswerError("the stream ended without [DONE]")

    async def ping(self) -> None:
        """Return when the upstream answers a cheap request; raise when it doesn't."""
        async with self._request("GET", "/v1/models") as response:
            await response.read()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON that answers a request."""
        async with self._request("POST", path, body) as response:
            raw = await response.read()
        with _as_malformed():
            return dict(json.loads(raw))

    def _note_usage(self, answer: dict[str, Any], operation: str) -> tuple[int, int]:
        usage = answer["usage"]
        counted = int(usage["prompt_tokens"]), int(usage.get("completion_tokens", 0))
        self._used(str(answer["model"]), operation, *counted)
        return counted

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        url = self._base_url + path
        return self._http.request(method, url, json=body, headers=self._headers, raise_for_status=True)


@contextlib.contextmanager
def _as_malformed() -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise MalformedAnswerError(f"unexpected body: {type(error).__name__}") from error


def attach(_app: FastAPI, services: Services) -> None:
    """Connect to the configured upstream, or start a local one first."""
    settings = services.settings

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        base_url = settings.upstream_url or settings.openai_base_url
        if settings.starts_local_upstream:
            services.local_upstream = LocalUpstream()
            await asyncio.to_thread(services.local_upstream.start)
            base_url = services.local_upstream.url
        services.upstream = UpstreamClient(settings, base_url, services.connections.http, services.runs.used)
        services.resilience.dependencies.add(
            "language_model", services.upstream.ping, figures=lambda: services.connections.stats()["http"]
        )
        try:
            yield
        finally:
            if services.local_upstream is not None:
                await asyncio.to_thread(services.local_upstream.stop)

    services.while_running(running)
