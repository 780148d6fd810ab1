"""Errors as `application/problem+json` (RFC 9457), with `Retry-After` on every 503 and 429.

A problem says what the client can act on; tracebacks, paths and values the client sent stay out of it.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resilience.errors import (
    AllProvidersFailedError,
    BatcherClosedError,
    BatchQueueFullError,
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    RateLimitedError,
    RejectedError,
    ResilienceError,
    RetryBudgetExhaustedError,
)
from resilience.fastapi._correlation import correlation_id
from resilience.fastapi._routes import methods_of

MEDIA_TYPE = "application/problem+json"
DEFAULT_RETRY_AFTER = 1.0

# Set in the scope of a request that a breaker or another policy rejected: no failure of the endpoint itself, and no
# sign of too much load.
REJECTED = "resilience.rejected"

_STATUS_OF: dict[type[BaseException], HTTPStatus] = {
    CircuitOpenError: HTTPStatus.SERVICE_UNAVAILABLE,
    BulkheadFullError: HTTPStatus.SERVICE_UNAVAILABLE,
    BatchQueueFullError: HTTPStatus.SERVICE_UNAVAILABLE,
    BatcherClosedError: HTTPStatus.SERVICE_UNAVAILABLE,
    AllProvidersFailedError: HTTPStatus.SERVICE_UNAVAILABLE,
    RetryBudgetExhaustedError: HTTPStatus.SERVICE_UNAVAILABLE,
    RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    CallTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
}
_RETRYABLE = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})


class Problem(BaseModel):
    """The body of an error response."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    correlation_id: str | None = None
    errors: list[Any] | None = None


def problem_response(
    status: int,
    detail: str | None = None,
    *,
    retry_after: float | None = None,
    errors: list[Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build an error response.

    Args:
        status: HTTP status.
        detail: One sentence for the client.
        retry_after: Seconds; 503 and 429 always carry the header, one second when nothing better is known.
        errors: Machine-readable parts of the problem, as the fields that did not validate; ready for JSON.
        headers: Further headers.
    """
    merged = dict(headers or {})
    if (retry_after is not None or status in _RETRYABLE) and "retry-after" not in map(str.lower, merged):
        merged["Retry-After"] = whole_seconds(retry_after)
    if status in _BODILESS or status < HTTPStatus.OK:
        return Response(status_code=status, headers=merged)
    body = Problem(
        title=_title_of(status), status=status, detail=detail, correlation_id=correlation_id(), errors=errors
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status_code=status, headers=merged, media_type=MEDIA_TYPE
    )


def _title_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one that no standard names, as proxies have them
        return "Error"


def whole_seconds(retry_after: float | None) -> str:
    """Round a wait up to the whole seconds that `Retry-After` is written in, at least one."""
    if retry_after is None or not math.isfinite(retry_after):
        retry_after = DEFAULT_RETRY_AFTER
    return str(max(1, math.ceil(retry_after)))


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status a library error is answered with; 500 for one that is no rejection."""
    for kind, status in _STATUS_OF.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def http_problem(error: HTTPException, headers: Mapping[str, str] | None) -> Response:
    """Answer an error that an application raised for its client.

    FastAPI takes any JSON for its detail; a problem's is text, and what a program is to read stands under `errors`.
    """
    detail: Any = error.detail
    if isinstance(detail, str):
        return problem_response(error.status_code, detail, headers=headers)
    errors = detail if isinstance(detail, list) else [detail]
    return problem_response(error.status_code, errors=errors, headers=headers)


def rejection_problem(error: Exception) -> Response:
    """Answer an error of this library."""
    status = status_of(error)
    detail = str(error) if status is not HTTPStatus.INTERNAL_SERVER_ERROR else None
    return problem_response(status, detail, retry_after=getattr(error, "retry_after", None))


def add_problem_handlers(app: FastAPI) -> None:
    """Answer the application's errors as problems."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(ResilienceError, _rejection)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler was registered for
    headers = dict(error.headers or {})
    # the framework names the methods of one route alone
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(methods_of(request.app.routes, request.scope["path"]))
        headers["Allow"] = allowed or headers.get("Allow", "")
    return http_problem(error, headers)


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what the handler was registered for
    errors = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    where = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in errors)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, where, errors=errors)


async def _rejection(request: Request, error: Exception) -> Response:
    if isinstance(error, RejectedError):
        request.scope[REJECTED] = True
    return rejection_problem(error)
