"""Admission: refusing at the door what the service could not finish in time anyway.

A refused request costs microseconds; one that is admitted and times out costs everything it touched. What
may be shed goes first: sheddable requests from half of the limit on and while the event loop lags, normal
ones at the limit, critical ones at one and a half times the limit.

What an adaptive limit learns from a request is judged by its answer, as servers under Netflix's
concurrency-limits judge it: a success is a sample of latency, overload makes the limit step back, and what says
nothing about this server's own load (errors, clients' mistakes, which are quick to answer, and rejections by a
policy further in, or one upstream's outage would slow every endpoint) only gives its place back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience._adaptive_limit import AdaptiveLimit
from resilience.fastapi._endpoints import Priority
from resilience.fastapi._problems import REJECTED

DEFAULT_MAX_ACTIVE = 1_000
DEFAULT_MAX_LAG = 0.5

# A deadline passed, and a service that says of itself that it can't keep up.
_OVERLOADED = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

_SHARE = {Priority.SHEDDABLE: 0.5, Priority.NORMAL: 1.0, Priority.CRITICAL: 1.5}


@dataclass(slots=True)
class Admission:
    """Limits what is in progress at once.

    Attributes:
        max_active: Requests in progress beyond which normal ones are refused, at least 1; may be changed.
        adaptive: Estimates from the time requests take how many may be in progress, up to `max_active`.
        max_lag: Seconds of event-loop lag at which sheddable requests are refused; normal ones at twice that.
        lag: Returns the present lag in seconds; None watches no lag.
    """

    max_active: int = DEFAULT_MAX_ACTIVE
    max_lag: float = DEFAULT_MAX_LAG
    lag: Callable[[], float] | None = None
    adaptive: AdaptiveLimit | None = None
    refused: int = 0

    def __post_init__(self) -> None:
        if self.max_active < 1:
            raise ValueError(f"max_active must be at least 1, got {self.max_active!r}")
        if not self.max_lag > 0:
            raise ValueError(f"max_lag must be above 0 seconds, got {self.max_lag!r}")

    @property
    def limit(self) -> int:
        """Requests in progress beyond which normal ones are refused now."""
        return self.max_active if self.adaptive is None else min(self.max_active, self.adaptive.limit)

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that was let in, and let the estimate learn from how it ended."""
        adaptive = self.adaptive
        # the door has decided already, so nobody waits; a critical one beyond the limit teaches nothing
        if adaptive is None or not adaptive._machine.try_acquire():  # noqa: SLF001
            await app(scope, receive, send)
            return
        status = 0

        def watched(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        started, outcome = adaptive._clock.now(), "ignored"  # noqa: SLF001
        try:
            await app(scope, receive, watched)
            outcome = _outcome_of(status, rejected=REJECTED in scope)
        except TimeoutError:
            outcome = "dropped"
            raise
        finally:
            adaptive._machine.release(started, outcome)  # noqa: SLF001

    def is_calm(self) -> bool:
        """Tell whether the event loop keeps up: nobody is refused for its lag."""
        return self.lag is None or self.lag() <= self.max_lag

    def refuses(self, active: int, priority: Priority) -> bool:
        """Decide on one more request beside `active` others, and count a refusal."""
        if active < self.limit * _SHARE[priority] and not self._lags(priority):
            return False
        self.refused += 1
        return True

    def _lags(self, priority: Priority) -> bool:
        if self.lag is None or priority is Priority.CRITICAL:
            return False
        return self.lag() > self.max_lag * (1 + (priority is Priority.NORMAL))


def _outcome_of(status: int, *, rejected: bool) -> Literal["success", "ignored", "dropped"]:
    """Judge an answer by its status, 0 for none."""
    if not rejected and status in _OVERLOADED:
        return "dropped"
    return "success" if 0 < status < HTTPStatus.BAD_REQUEST else "ignored"
