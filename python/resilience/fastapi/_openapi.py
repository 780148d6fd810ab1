"""The OpenAPI document of an application whose errors are problems.

FastAPI describes a 422 of its own making; `add_problem_handlers` answers otherwise, so the document says so, and
declares for every operation the 503 and 429 that its policies may answer.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from resilience.fastapi._problems import MEDIA_TYPE, Problem

_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})
_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "seconds"}}
_REFUSALS = {
    "413": "The body is too long.",
    "429": "Too many requests; try again after `Retry-After` seconds.",
    "500": "The service failed.",
    "503": "Not now; try again after `Retry-After` seconds.",
    "504": "The answer took too long.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer problems of these statuses."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


def describe_problems(app: FastAPI) -> None:
    """Make the application's OpenAPI document say how its errors look."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    description=app.description,
                    tags=app.openapi_tags,
                    servers=app.servers,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to change the document


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for obsolete in ("HTTPValidationError", "ValidationError"):
        schemas.pop(obsolete, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    for operations in document.get("paths", {}).values():
        for method, operation in operations.items():
            if method in _METHODS:
                _describe(operation["responses"], has_body="requestBody" in operation)
    return document


def _describe(responses: dict[str, Any], *, has_body: bool) -> None:
    problem = {MEDIA_TYPE: {"schema": _REFERENCE}}
    if "422" in responses:
        responses["422"] = {"description": "The request is not valid.", "content": problem}
    if has_body:
        responses.setdefault("400", {"description": "The body can't be read.", "content": problem})
    for status, description in _REFUSALS.items():
        if status == "413" and not has_body:
            continue
        known = responses.setdefault(status, {"description": description})
        known.setdefault("content", problem)
        if status in ("429", "503"):
            known["headers"] = _RETRY_AFTER
