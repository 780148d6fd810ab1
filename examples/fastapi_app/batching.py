"""The batchers: short completions and embeddings of many users travel together.

The batchers are the library's ready-made ones, in their fixed-window mode; this part gives them their functions
while the server runs, and lets them finish what they hold when it stops.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field, StringConstraints

from embedders import Embedder, make_embedder
from resilience import embedding_batcher, llm_batcher
from services import Services
from smart_dispatcher import pipeline

MAX_TEXTS = 256
MAX_TEXT = 32_000
BATCHERS = {"llm_batcher": llm_batcher, "embedding_batcher": embedding_batcher}

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]


class EmbeddingRequest(BaseModel):
    """The texts to embed."""

    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS)


class Embeddings(BaseModel):
    """A vector a text, in order."""

    embeddings: list[list[float]]
    model: str
    dimensions: int


class Batching:
    """Puts single requests into batches."""

    def __init__(self, services: Services, embedder: Embedder) -> None:
        self._services = services
        self.embedder = embedder

    async def complete(self, prompt: str, *, max_tokens: int) -> str:
        """Answer one prompt, in a call of the model that answers several."""
        text: str = await llm_batcher.add_request(prompt, (prompt, max_tokens))
        return text

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector a text; texts of one request may travel in several batches."""
        vectors: list[list[float]] = await asyncio.gather(
            *(embedding_batcher.add_request(text, text) for text in texts)
        )
        return vectors

    async def complete_batch(self, items: list[tuple[str, int]]) -> list[str]:
        """Ask the model for all prompts of a batch in one call."""
        limit = max(tokens for _, tokens in items)
        return await self._services.upstream.complete_many([prompt for prompt, _ in items], max_tokens=limit)


router = APIRouter(tags=["embeddings"])


@router.post("/api/embeddings")
async def embed(body: EmbeddingRequest, request: Request) -> Embeddings:
    """Embed texts."""
    services: Services = request.app.state.services
    embedder = services.batching.embedder
    vectors = await embed_guarded(services.batching, body.texts)
    return Embeddings(embeddings=vectors, model=embedder.name, dimensions=embedder.dimensions)


@pipeline("embeddings")
async def embed_guarded(batching: Batching, texts: list[str]) -> list[list[float]]:
    """Embed texts behind the breaker of that name."""
    return await batching.embed(texts)


def attach(app: FastAPI, services: Services) -> None:
    """Offer batching to the other parts, and embeddings to clients."""

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        embedder = await asyncio.to_thread(make_embedder, services.settings.embedder)
        services.batching = Batching(services, embedder)
        llm_batcher.process_func = services.batching.complete_batch
        embedding_batcher.process_func = embedder.embed
        try:
            yield
        finally:
            for batcher in BATCHERS.values():
                await batcher.flush()

    for name, batcher in BATCHERS.items():
        services.batchers[name] = batcher.get_metrics
    services.while_running(running)
    app.include_router(router)
