"""The language models: the configured upstream and every provider whose key is set, behind one router.

The upstream is asked through the server's own pool of connections and is guarded by the pipeline of who asks; the
others bring breakers and timeouts of their own, and stand in when it fails.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from resilience import AllProvidersFailedError, CircuitBreakerConfig
from resilience.providers import LLMRouter, Price, Provider, StreamEvent
from services import Services
from settings import Settings
from upstream_client import Answer, UpstreamClient

UPSTREAM = "upstream"
_NEVER_OPENS = CircuitBreakerConfig(failure_threshold=0)
_WHOLE_TIMEOUT = 60.0
_PIECE_TIMEOUT = 20.0


class UpstreamChat:
    """The upstream as the router's client."""

    def __init__(self, upstream: UpstreamClient) -> None:
        self._upstream = upstream

    async def chat(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a chat request."""
        return await self._upstream.post("/v1/chat/completions", payload)

    def stream(self, payload: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send a chat request and yield its events."""
        return self._upstream.events(payload)

    async def embed(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send texts to embed."""
        return await self._upstream.post("/v1/embeddings", payload)

    async def aclose(self) -> None:
        """Leave the connections to the server's pool, which they belong to."""


def providers_of(settings: Settings, upstream: UpstreamClient) -> list[Provider]:
    """Return whom to ask, the upstream first; a local stand-in only when there is nobody real."""
    prices = {model: Price(*price) for model, price in settings.prices.items()} or None
    real = [
        Provider(
            kind=kind,
            model=settings.models[kind],
            api_key=key.get_secret_value(),
            via="http",
            priority=priority,
            prices=prices,
        )
        for priority, (kind, key) in enumerate(settings.provider_keys.items(), start=1)
        if key is not None and kind in settings.models
    ]
    if settings.starts_local_upstream and real:
        return real
    first = Provider(
        kind="custom",
        name=UPSTREAM,
        model=settings.completion_model,
        client=UpstreamChat(upstream),
        prices=prices,
        breaker=_NEVER_OPENS,
        max_concurrent=10_000,
        timeout=_WHOLE_TIMEOUT,
        idle_timeout=_PIECE_TIMEOUT,
    )
    return [first, *real]


class Models:
    """Answers and streams of whichever model can be had, with what they used."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = services.settings.max_tokens
        self.router = LLMRouter(providers_of(services.settings, services.upstream))

    async def complete(self, prompt: str) -> Answer:
        """Answer one prompt; raises what the only provider raised, or AllProvidersFailedError of several."""
        with _alone_as_itself():
            found = await self.router.complete(prompt, max_tokens=self._limit)
        used = found.usage
        self._services.runs.used(found.model, "chat", used.input_tokens, used.output_tokens, found.cost)
        return Answer(found.text, used.input_tokens, used.output_tokens)

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        """Yield an answer as it is written; raises as `complete`, also in the middle."""
        with _alone_as_itself():
            events = self.router.stream(prompt, max_tokens=self._limit)
            async with contextlib.aclosing(events):
                async for event in events:
                    if event.error is not None:
                        raise event.error
                    self._note(event)
                    if event.text:
                        yield event.text

    def _note(self, event: StreamEvent) -> None:
        used = event.usage
        if used is not None:
            self._services.runs.used(event.model, "chat", used.input_tokens, used.output_tokens, event.cost)

    def figures(self) -> dict[str, Any]:
        """Return usage, cost and state of each provider since the start."""
        return {"usage": self.router.usage(), "providers": self.router.stats()}


@contextlib.contextmanager
def _alone_as_itself() -> Any:
    """One provider's failure is raised as itself, so that breakers outside can tell whose mistake it is."""
    try:
        yield
    except AllProvidersFailedError as failure:
        attempts = failure.attempts
        if len(attempts) != 1:
            raise
        raise attempts[0][1] from failure


def attach(_app: FastAPI, services: Services) -> None:
    """Bring the router up with the server."""

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        services.models = Models(services)
        services.figures["models"] = services.models.figures
        async with services.models.router:
            yield

    services.while_running(running)
