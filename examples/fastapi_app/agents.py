"""The agents: each puts a task to the model in its own words."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, StrictBool, StringConstraints
from starlette.exceptions import HTTPException

from resilience.fastapi import problem_responses
from services import PUBLIC_FOR_A_MINUTE, Services
from smart_dispatcher import MODEL_FAILURES

MAX_INPUT = 32_000


@dataclass(frozen=True, slots=True)
class Agent:
    """What an agent is and how it puts its task."""

    id: str
    description: str
    instruction: str

    def prompt(self, task: str, found: Sequence[str] = ()) -> str:
        """Return what is asked of the model."""
        known = "".join(f"\n- {line}" for line in found)
        sources = f"\n\nSources that were looked up:{known}" if known else ""
        return f"{self.instruction}{sources}\n\nTask: {task}"


class AgentInfo(BaseModel):
    """An agent in `GET /api/agents`."""

    id: str
    description: str


class AgentRequest(BaseModel):
    """The body of a run."""

    input: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_INPUT)]
    stream: StrictBool = False


class AgentRun(BaseModel):
    """What an agent answered; `is_fallback` when the model could not."""

    agent: str
    output: str
    is_fallback: bool
    prompt_tokens: int
    completion_tokens: int
    sources: list[str]


_AGENTS = (
    Agent(
        "research",
        "Finds and explains what is known.",
        "You are a careful researcher. Name what is uncertain.",
    ),
    Agent(
        "financial",
        "Reads markets and figures.",
        "You are a financial analyst. Give figures with their dates.",
    ),
)


class Agents:
    """The agents by id."""

    def __init__(self, services: Services, agents: tuple[Agent, ...] = _AGENTS) -> None:
        self._services = services
        self._agents = {agent.id: agent for agent in agents}

    def list(self) -> list[AgentInfo]:
        """Return every agent."""
        return [AgentInfo(id=agent.id, description=agent.description) for agent in self._agents.values()]

    async def run(self, agent_id: str, task: str) -> AgentRun:
        """Let an agent do a task; raises HTTPException 404 for an unknown one."""
        agent = self._find(agent_id)
        with self._services.runs.run("agent", agent.id) as run:
            found = await self._services.sources.about(agent.id, task)
            reply = await self._services.orchestrator.ask(agent.prompt(task, found))
            run.finish(
                is_fallback=reply.is_fallback,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
            )
        return AgentRun(
            agent=agent.id,
            output=reply.text,
            is_fallback=reply.is_fallback,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            sources=found,
        )

    def stream(self, agent_id: str, task: str) -> AsyncIterator[str]:
        """Return an agent's answer as server-sent events: `token` events, then `done` or `error`."""
        agent = self._find(agent_id)
        return _events(self._recorded(agent, task))

    async def _recorded(self, agent: Agent, task: str) -> AsyncIterator[str]:
        with self._services.runs.run("agent", agent.id) as run:
            found = await self._services.sources.about(agent.id, task)
            async for piece in self._services.orchestrator.stream(agent.prompt(task, found)):
                yield piece
            run.finish()

    def _find(self, agent_id: str) -> Agent:
        try:
            return self._agents[agent_id]
        except KeyError:
            known = ", ".join(self._agents)
            raise HTTPException(
                HTTPStatus.NOT_FOUND, f"There is no such agent; there are: {known}."
            ) from None


async def _events(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for piece in pieces:
            yield _event("token", {"text": piece})
    except MODEL_FAILURES as error:
        retry_after = getattr(error, "retry_after", None)
        yield _event("error", {"error": type(error).__name__, "retry_after": retry_after})
    else:
        yield _event("done", {})


def _event(kind: str, data: dict[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


router = APIRouter(tags=["agents"])


@router.get("/api/agents")
async def list_agents(request: Request, response: Response) -> list[AgentInfo]:
    """List the agents; the list is the same for everybody until the server restarts."""
    response.headers["Cache-Control"] = PUBLIC_FOR_A_MINUTE
    services: Services = request.app.state.services
    return services.agents.list()


@router.post(
    "/api/agents/{agent_id}/run",
    response_model=AgentRun,
    responses={200: {"content": {"text/event-stream": {}}}, **problem_responses(404)},
)
async def run_agent(agent_id: str, body: AgentRequest, request: Request) -> Response | AgentRun:
    """Let an agent do a task; with `stream`, answer with server-sent events as the model writes."""
    services: Services = request.app.state.services
    if body.stream:
        events = services.agents.stream(agent_id, body.input)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )
    return await services.agents.run(agent_id, body.input)


def attach(app: FastAPI, services: Services) -> None:
    """Offer the agents to the other parts and to clients."""
    services.agents = Agents(services)
    app.include_router(router)
