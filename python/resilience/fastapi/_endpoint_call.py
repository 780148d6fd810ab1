"""One request through its endpoint's breaker and deadline."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.errors import CircuitOpenError
from resilience.fastapi._endpoints import EndpointPolicy
from resilience.fastapi._problems import REJECTED, problem_response

_CLIENTS_FAULT = HTTPStatus.BAD_REQUEST


class _Outcome(Exception):  # noqa: N818 - tells the breaker how a request ended; nobody else ever sees it
    """A request that was answered, but not with success: the breaker judges it by its status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status_code = status


async def serve_endpoint(
    policy: EndpointPolicy, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Let the application answer within the endpoint's policies, or answer in its place."""
    breaker = policy.breaker
    if breaker is None:
        await _attempt(policy, app, scope, receive, send)
        return
    try:
        async with breaker.guard():
            outcome = await _attempt(policy, app, scope, receive, send)
            if outcome is not None:
                raise outcome
    except _Outcome:
        return
    except CircuitOpenError as rejection:
        if rejection.name != breaker.name:
            raise
        scope[REJECTED] = True
        response = await policy.fallback_response(scope) or problem_response(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "This endpoint is resting after failures.",
            retry_after=rejection.retry_after,
        )
        await response(scope, receive, send)


async def _attempt(
    policy: EndpointPolicy, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> _Outcome | None:
    """Run the application; return None for a success, else how it ended. Its exceptions pass through."""
    status = 0
    limit = asyncio.timeout(policy.config.timeout)

    def begun(message: Message) -> Awaitable[None]:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            limit.reschedule(None)  # the deadline is for the beginning; a stream may take its time
        return send(message)

    try:
        async with limit:
            await app(scope, receive, begun)
    except TimeoutError:
        if not limit.expired() or status:
            raise
        await problem_response(HTTPStatus.GATEWAY_TIMEOUT, "This took too long.")(scope, receive, send)
        return _Outcome(HTTPStatus.GATEWAY_TIMEOUT)
    return _outcome_of(status, rejected=REJECTED in scope)


def _outcome_of(status: int, *, rejected: bool) -> _Outcome | None:
    """Judge a status: no answer means that the client left, and an inner rejection is nobody's failure."""
    if not rejected and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _Outcome(status)
    if rejected or status == 0 or status >= HTTPStatus.BAD_REQUEST:
        return _Outcome(_CLIENTS_FAULT)
    return None
