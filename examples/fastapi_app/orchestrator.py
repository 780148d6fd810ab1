"""The orchestrator: takes a command through classification and dispatch, and asks the model for all."""

from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from models import Models
from resilience import Cache, bulkhead, cache
from resilience.allocator import cache_size
from services import Services
from smart_dispatcher import MODEL_FAILURES, pipeline
from upstream_client import Answer

MAX_COMMAND = 8_000
ANSWER_TTL = 300.0
MAX_ANSWERS = 10_000
ENTRIES_PER_MB = 100  # as many as the allocator's first 100 MB are to hold
MAX_WAITING, MAX_WAIT = 1024, 5.0  # calls for a free place at the model, and seconds of each
FALLBACK_TEXT = (
    "The language model cannot be reached right now; your request was understood, please repeat it soon."
)


@pipeline("ollama")
async def ask_model(models: Models, prompt: str) -> Answer:
    """Ask a model; raises what its provider raises, or a rejection while the breaker is open."""
    return await models.complete(prompt)


@pipeline("ollama")
async def stream_model(models: Models, prompt: str) -> AsyncIterator[str]:
    """Stream the model's answer; the whole stream is one call to the breaker."""
    async for piece in models.stream(prompt):
        yield piece


@dataclass(frozen=True, slots=True)
class Reply:
    """The model's answer, or the fallback in its place."""

    text: str
    is_fallback: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Command(BaseModel):
    """The body of `POST /api/nl/process`."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_COMMAND)]
    session_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None


class HandledBy(BaseModel):
    """Who handled a command."""

    kind: Literal["agent", "workflow"]
    id: str


class CommandResult(BaseModel):
    """What came of a command; `degraded` when a fallback stood in anywhere."""

    intent: str
    confidence: float = Field(ge=0, le=1)
    classified_by: Literal["model", "keywords"]
    handled_by: HandledBy
    output: str
    degraded: bool
    session_id: str | None = None


def _is_answer(found: Any) -> bool:
    """Tell whether something is what the cache keeps: Redis may hold whatever others have put there."""
    match found:
        case (str(), int(prompt_tokens), int(completion_tokens)):
            return prompt_tokens >= 0 and completion_tokens >= 0
        case _:
            return False


class Orchestrator:
    """Runs commands and answers prompts, whatever state the model is in."""

    def __init__(self, services: Services) -> None:
        self._services = services

        local = Cache[Any, Any](MAX_ANSWERS, ttl=ANSWER_TTL, name="ollama_responses")

        @cache(ANSWER_TTL, backend=services.second_level.below(local), condition=_is_answer)
        async def answer(prompt: str) -> tuple[str, int, int]:
            return astuple(await ask_model(services.models, prompt))

        self._answer = answer
        services.caches["ollama_responses"] = answer.stats
        services.resizable.append(("cache_size_mb", cache_size(local, entries_per_mb=ENTRIES_PER_MB)))

    async def ask(self, prompt: str) -> Reply:
        """Answer a prompt, from the cache if it is there; with the fallback when the model fails or is spared."""
        try:
            answer = Answer(*await self._answer(prompt))
        except MODEL_FAILURES:
            return Reply(FALLBACK_TEXT, is_fallback=True)
        return Reply(
            text=answer.text,
            is_fallback=False,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
        )

    def stream(self, prompt: str) -> AsyncIterator[str]:
        """Stream an answer; raises as `stream_model`, since what was sent can't be taken back."""
        return stream_model(self._services.models, prompt)

    async def process(self, command: Command) -> CommandResult:
        """Classify a command and have it handled."""
        dispatcher = self._services.dispatcher
        if dispatcher is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The dispatcher is not up.")
        events = self._services.events
        classification = await self._services.nlp_processor.classify(command.text)
        events.publish("command.dispatched", intent=classification.intent)
        result = await dispatcher.dispatch(classification, command.text)
        events.publish("command.finished", handled_by=result.target.id, degraded=result.is_fallback)
        return CommandResult(
            intent=classification.intent,
            confidence=classification.confidence,
            classified_by=classification.by,
            handled_by=HandledBy(kind=result.target.kind, id=result.target.id),
            output=result.output,
            degraded=result.is_fallback or classification.by == "keywords",
            session_id=command.session_id,
        )


router = APIRouter(tags=["commands"])


@router.post("/api/nl/process")
async def process(command: Command, request: Request) -> CommandResult:
    """Classify a natural-language command and run the agent or workflow that handles it."""
    services: Services = request.app.state.services
    return await services.orchestrator.process(command)


def limit_calls(services: Services) -> None:
    """Let as many calls of the model run at once as there are connections, now and after each resize."""
    places = bulkhead(
        services.settings.http_pool_size, max_waiting=MAX_WAITING, max_wait=MAX_WAIT, name="ollama"
    )
    pipeline("ollama").replace(bulkhead=places)
    services.resizable.append(("connections", places.resize))


def attach(app: FastAPI, services: Services) -> None:
    """Offer the orchestrator to the other parts, and the command route to clients."""
    limit_calls(services)
    services.orchestrator = Orchestrator(services)
    app.include_router(router)
