"""FastAPI and ASGI integration: middleware, health and metrics routers, problem responses, admin dependency.

Needs the extra `fastapi`: `pip install resilience-native[fastapi]`.
"""

try:
    import fastapi as _fastapi  # noqa: F401 - only to name the extra when it is missing
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "resilience.fastapi needs FastAPI: pip install 'resilience-native[fastapi]'", name=error.name
    ) from error

from resilience._hosts import is_loopback
from resilience.fastapi._admin import AdminPolicy, is_foreign, require_admin
from resilience.fastapi._admission import Admission
from resilience.fastapi._config import FastAPIConfig
from resilience.fastapi._correlation import correlation_id
from resilience.fastapi._endpoints import EndpointConfig, EndpointTable, Priority, endpoint
from resilience.fastapi._health import (
    DependencyChecks,
    Lifecycle,
    Phase,
    circuit_breaker_router,
    health_router,
)
from resilience.fastapi._install import Resilience, install, lifespan
from resilience.fastapi._metrics import MetricSources, metrics_router
from resilience.fastapi._middleware import ResilienceMiddleware
from resilience.fastapi._openapi import problem_responses
from resilience.fastapi._problems import Problem, add_problem_handlers, problem_response
from resilience.fastapi._request_metrics import RequestMetrics, Summary
from resilience.fastapi._server_load import server_load

__all__ = [
    "AdminPolicy",
    "Admission",
    "DependencyChecks",
    "EndpointConfig",
    "EndpointTable",
    "FastAPIConfig",
    "Lifecycle",
    "MetricSources",
    "Phase",
    "Priority",
    "Problem",
    "RequestMetrics",
    "Resilience",
    "ResilienceMiddleware",
    "Summary",
    "add_problem_handlers",
    "circuit_breaker_router",
    "correlation_id",
    "endpoint",
    "health_router",
    "install",
    "is_foreign",
    "is_loopback",
    "lifespan",
    "metrics_router",
    "problem_response",
    "problem_responses",
    "require_admin",
    "server_load",
]
