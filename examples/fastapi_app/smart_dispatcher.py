"""The dispatcher: owns the named breakers, and sends a classified command to whoever handles it."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from fastapi import FastAPI

from resilience import (
    CircuitBreaker,
    Pipeline,
    State,
    StateChanged,
    get_all_circuit_breakers,
    get_circuit_breaker,
    get_pipeline,
)
from resilience.errors import CallTimeoutError, CircuitOpenError, ResilienceError
from services import Services
from settings import get_settings
from upstream_client import MalformedAnswerError

if TYPE_CHECKING:
    from nlp_processor import Classification

# What a caller of the model turns into a fallback answer.
MODEL_FAILURES = (ResilienceError, aiohttp.ClientError, TimeoutError, MalformedAnswerError)

_BREAKERS: dict[str, dict[str, Any]] = {
    "nlp_processor": {"failure_threshold": 3},
    "ollama": {"failure_threshold": 3, "slow_call_duration": 4.0, "slow_call_rate_threshold": 0.8},
    "embeddings": {"failure_threshold": 3},
    "auth": {"failure_threshold": 3},
}
_KEPT_TRANSITIONS = 256


def circuit_breaker(name: str) -> CircuitBreaker:
    """Return one of the server's named breakers; as a decorator it protects a function."""
    return get_circuit_breaker(name, recovery_timeout=get_settings().recovery_timeout, **_BREAKERS[name])


def pipeline(name: str) -> Pipeline:
    """Return the pipeline of that name in config.yaml, as a decorator; its breaker is the server's own."""
    circuit_breaker(name)  # made with its settings before the configuration asks for it
    return get_pipeline(name)


class IntentionalFailureError(Exception):
    """Raised on purpose, to see a breaker open."""

    status_code = 503

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)  # whatever else a subclass descends from

    def __str__(self) -> str:
        return str(self.args[0])


# What a predicate may take for a failure: an error of its own kind, and the usual signs of an outage.
_OUTAGES = (IntentionalFailureError, CallTimeoutError, ConnectionResetError)


def counted_failure(breaker: CircuitBreaker, message: str) -> IntentionalFailureError:
    """Return an error that this breaker counts as a failure."""
    counted = breaker.config.failure_on
    if callable(counted) and not isinstance(counted, type):
        failures = (_failure_as(kind, message) for kind in _OUTAGES)
        return next((each for each in failures if counted(each)), IntentionalFailureError(message))
    kinds = counted if isinstance(counted, tuple) else (counted or IntentionalFailureError,)
    return _failure_as(kinds[0], message)


def _failure_as(kind: type[BaseException], message: str) -> IntentionalFailureError:
    if issubclass(IntentionalFailureError, kind):
        return IntentionalFailureError(message)
    return type("IntentionalFailureError", (IntentionalFailureError, kind), {})(message)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Target:
    """Who handles a command."""

    kind: Literal["agent", "workflow"]
    id: str


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What came of a command."""

    target: Target
    output: str
    is_fallback: bool


_TARGETS = {
    "research": Target("agent", "research"),
    "financial": Target("agent", "financial"),
    "briefing": Target("workflow", "briefing"),
}


class SmartDispatcher:
    """Dispatches commands and keeps the last transitions of the named breakers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.transitions: deque[dict[str, Any]] = deque(maxlen=_KEPT_TRANSITIONS)
        self.openings = 0
        self.recoveries = 0
        self.most_failures_to_open = 0
        self.triggered_openings = 0
        for name in _BREAKERS:
            circuit_breaker(name).add_listener(self._note)

    async def dispatch(self, classification: "Classification", text: str) -> Dispatched:
        """Run the agent or workflow that handles an intent."""
        target = _TARGETS[classification.intent]
        if target.kind == "workflow":
            workflow = await self._services.workflows.run(target.id, text)
            return Dispatched(target, workflow.output, workflow.is_fallback)
        agent = await self._services.agents.run(target.id, text)
        return Dispatched(target, agent.output, agent.is_fallback)

    def breakers(self) -> dict[str, CircuitBreaker]:
        """Return every breaker of this process by name."""
        return get_all_circuit_breakers()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return state and counts of every breaker."""
        return {
            name: {
                "state": breaker.state.value,
                "failure_count": breaker.failure_count,
                "success_count": breaker.success_count,
                "last_failure_time": breaker.last_failure_time,
            }
            for name, breaker in self.breakers().items()
        }

    def _note(self, event: object) -> None:
        if isinstance(event, StateChanged):
            self._gather_evidence(event)
            self.transitions.append(
                {"at": event.timestamp, "name": event.name, "from": event.old.value, "to": event.new.value}
            )

    def _gather_evidence(self, event: StateChanged) -> None:
        """Count what the score looks at: how many failures it took to open, and whether it came back."""
        if event.new is State.OPEN and event.old is State.CLOSED:
            failures = circuit_breaker(event.name).get_stats()["consecutive_failures"]
            self.openings += 1
            self.most_failures_to_open = max(self.most_failures_to_open, failures)
        elif event.new is State.CLOSED and event.old is State.HALF_OPEN:
            self.recoveries += 1


async def fail_on_purpose(breaker: CircuitBreaker, attempt: int) -> dict[str, Any]:
    """Make one call that fails, and tell what became of it."""
    try:
        async with breaker:
            raise counted_failure(breaker, f"Intentional failure {attempt}")
    except (IntentionalFailureError, CircuitOpenError) as error:
        return {"attempt": attempt, "status": "failed", "state": breaker.state.value, "error": str(error)}


def attach(_app: FastAPI, services: Services) -> None:
    """Bring the dispatcher up with the server."""

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        dispatcher = services.dispatcher = SmartDispatcher(services)
        services.figures["circuit_breakers"] = lambda: {
            "breakers": {name: breaker.get_stats() for name, breaker in dispatcher.breakers().items()},
            "transitions": list(dispatcher.transitions),
            "recovery_timeout_seconds": services.settings.recovery_timeout,
        }
        try:
            yield
        finally:
            services.dispatcher = None

    services.while_running(running)
