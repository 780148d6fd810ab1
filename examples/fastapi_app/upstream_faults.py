"""How the local upstream misbehaves on demand."""

import asyncio
import random
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

Mode = Literal["ok", "fail", "hang", "slow", "rate_limit", "disconnect"]


class Behaviour(BaseModel):
    """What the control endpoint sets.

    Attributes:
        mode: `ok`; `fail` with `status`; `hang` until the behaviour changes; `slow` by `factor`;
            `rate_limit` with 429 and `retry_after`; `disconnect` in the middle of an answer.
        rate: Share of calls that misbehave, drawn from `seed`.
        calls: Only the next so many calls misbehave, then all is well again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "ok"
    status: int = Field(default=500, ge=400, le=599)
    factor: float = Field(default=10.0, ge=1.0, le=10_000.0)
    retry_after: float = Field(default=1.0, ge=0.0, le=3600.0)
    rate: float = Field(default=1.0, ge=0.0, le=1.0)
    calls: int | None = Field(default=None, ge=1)
    seed: int = 0


class Faults:
    """The present behaviour, and a journal of what arrived."""

    def __init__(self) -> None:
        self._set(Behaviour())
        self.arrived: Counter[str] = Counter()
        self.in_flight = 0

    def _set(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._left = behaviour.calls
        self._random = random.Random(behaviour.seed)  # noqa: S311 - faults are to repeat, not to be secret
        self._changed = asyncio.Event()

    def become(self, behaviour: Behaviour) -> None:
        """Behave so from the next call on; calls that hang are let go."""
        self._changed.set()
        self._set(behaviour)

    def draw(self) -> Mode:
        """Decide how one call goes."""
        if self._left == 0 or self._random.random() >= self.behaviour.rate:
            return "ok"
        if self._left is not None:
            self._left -= 1
        return self.behaviour.mode

    async def before_answer(self, mode: Mode) -> Response | None:
        """Return the failure that this call is answered with, or None when it may go on."""
        if mode == "fail":
            return JSONResponse({"error": {"message": "told to fail"}}, status_code=self.behaviour.status)
        if mode == "rate_limit":
            headers = {"Retry-After": f"{self.behaviour.retry_after:g}"}
            return JSONResponse({"error": {"message": "told to limit"}}, status_code=429, headers=headers)
        if mode == "hang":
            await self._changed.wait()
        return None

    def slowdown(self, mode: Mode) -> float:
        """Return the factor on this call's time."""
        return self.behaviour.factor if mode == "slow" else 1.0

    def journal(self) -> dict[str, object]:
        """Return what arrived so far, by path, and what is being answered."""
        return {
            "behaviour": self.behaviour.model_dump(),
            "in_flight": self.in_flight,
            "requests": self.arrived.total(),
            "requests_by_path": dict(self.arrived),
        }
