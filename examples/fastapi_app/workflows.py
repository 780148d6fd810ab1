"""The workflows: several agents in order, or side by side."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, StringConstraints
from starlette.exceptions import HTTPException

from agents import MAX_INPUT, AgentRun
from resilience.fastapi import problem_responses
from services import PUBLIC_FOR_A_MINUTE, Services


@dataclass(frozen=True, slots=True)
class Workflow:
    """Stages run in order, a stage's agents side by side; each reads what the stage before wrote."""

    id: str
    description: str
    stages: tuple[tuple[str, ...], ...]


class WorkflowInfo(BaseModel):
    """A workflow in `GET /api/workflows`."""

    id: str
    description: str
    stages: list[list[str]]


class WorkflowInput(BaseModel):
    """What a workflow is given."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_INPUT)]


class WorkflowRequest(BaseModel):
    """The body of a run; `input.text` is the task."""

    input: WorkflowInput


class WorkflowRun(BaseModel):
    """What a workflow wrote, and each of its steps."""

    workflow: str
    output: str
    is_fallback: bool
    steps: list[AgentRun]


_WORKFLOWS = (
    Workflow(
        "briefing",
        "Research and figures side by side, then one briefing of both.",
        (("research", "financial"), ("research",)),
    ),
)


class Workflows:
    """The workflows by id."""

    def __init__(self, services: Services, workflows: tuple[Workflow, ...] = _WORKFLOWS) -> None:
        self._services = services
        self._workflows = {workflow.id: workflow for workflow in workflows}

    def list(self) -> list[WorkflowInfo]:
        """Return every workflow."""
        return [
            WorkflowInfo(id=w.id, description=w.description, stages=[list(stage) for stage in w.stages])
            for w in self._workflows.values()
        ]

    async def run(self, workflow_id: str, text: str) -> WorkflowRun:
        """Run a workflow on a text; raises HTTPException 404 for an unknown one."""
        workflow = self._find(workflow_id)
        with self._services.runs.run("workflow", workflow.id) as record:
            steps, runs = await self._run_stages(workflow, text)
            record.finish(
                is_fallback=any(run.is_fallback for run in steps),
                prompt_tokens=sum(run.prompt_tokens for run in steps),
                completion_tokens=sum(run.completion_tokens for run in steps),
            )
        return WorkflowRun(
            workflow=workflow.id,
            output="\n\n".join(run.output for run in runs),
            is_fallback=any(run.is_fallback for run in steps),
            steps=list(steps),
        )

    async def _run_stages(
        self, workflow: Workflow, text: str
    ) -> tuple[Sequence[AgentRun], Sequence[AgentRun]]:
        """Return every step, and those of the last stage."""
        steps: list[AgentRun] = []
        runs: list[AgentRun] = []
        for stage in workflow.stages:
            task = "\n\n".join([text, *(run.output for run in runs)])
            runs = list(await asyncio.gather(*(self._services.agents.run(agent, task) for agent in stage)))
            steps += runs
        return steps, runs

    def _find(self, workflow_id: str) -> Workflow:
        try:
            return self._workflows[workflow_id]
        except KeyError:
            known = ", ".join(self._workflows)
            raise HTTPException(
                HTTPStatus.NOT_FOUND, f"There is no such workflow; there are: {known}."
            ) from None


router = APIRouter(tags=["workflows"])


@router.get("/api/workflows")
async def list_workflows(request: Request, response: Response) -> list[WorkflowInfo]:
    """List the workflows; the list is the same for everybody until the server restarts."""
    response.headers["Cache-Control"] = PUBLIC_FOR_A_MINUTE
    services: Services = request.app.state.services
    return services.workflows.list()


@router.post("/api/workflows/{workflow_id}/run", responses=problem_responses(404))
async def run_workflow(workflow_id: str, body: WorkflowRequest, request: Request) -> WorkflowRun:
    """Run a workflow on `input.text`."""
    services: Services = request.app.state.services
    return await services.workflows.run(workflow_id, body.input.text)


def attach(app: FastAPI, services: Services) -> None:
    """Offer the workflows to the other parts and to clients."""
    services.workflows = Workflows(services)
    app.include_router(router)
