"""Settings of single endpoints, by route template or by decorator.

A template in the configuration, as `{"endpoints": {"/api/agents/{agent_id}/run": {"timeout": 20}}}`, or
`@endpoint(timeout=20)` under the route's own decorator, which a template in the configuration overrides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, compile_path

from resilience import CircuitBreaker, CircuitBreakerConfig, get_circuit_breaker
from resilience.fastapi._routes import flat

if TYPE_CHECKING:
    import re

    from starlette.types import Scope

_MARK = "__resilience_endpoint__"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Priority(IntEnum):
    """What may be refused first when the service is overloaded."""

    SHEDDABLE = 0
    NORMAL = 1
    CRITICAL = 2


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """How one endpoint is protected.

    Attributes:
        circuit_breaker: Settings of its breaker, which is named after the endpoint; None for no breaker. A
            5xx, an error and a timeout are failures; a client's 4xx, its disconnect, and a rejection by a
            policy further in are neither failure nor success.
        timeout: Seconds until the response must have begun, above 0; then 504.
        max_body_bytes: Longest request body, at least 0; a longer one is 413. None takes the application's.
        fallback: JSON body, or a function of the request that returns a response, answered while the breaker
            rejects; None answers 503 with `Retry-After`.
        priority: What may be shed first.
    """

    circuit_breaker: CircuitBreakerConfig | None = None
    timeout: float | None = None
    max_body_bytes: int | None = None
    fallback: Any = None
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, got {self.timeout!r}")
        if self.max_body_bytes is not None and self.max_body_bytes < 0:
            raise ValueError(f"max_body_bytes must be at least 0, got {self.max_body_bytes!r}")

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> EndpointConfig:
        """Build it from plain values; `circuit_breaker` is a mapping, `priority` a name."""
        values = dict(given)
        known = [field.name for field in fields(cls)]
        if unknown := set(values) - set(known):
            raise ValueError(f"unknown endpoint setting {min(unknown)!r}; known are {', '.join(known)}")
        if isinstance(breaker := values.get("circuit_breaker"), Mapping):
            values["circuit_breaker"] = CircuitBreakerConfig.from_mapping(breaker)
        if isinstance(priority := values.get("priority"), str):
            if priority.upper() not in Priority.__members__:
                names = ", ".join(name.lower() for name in Priority.__members__)
                raise ValueError(f"priority must be one of {names}, got {priority!r}")
            values["priority"] = Priority[priority.upper()]
        return cls(**values)


def endpoint(**settings: Any) -> Callable[[Endpoint], Endpoint]:
    """Attach settings to an endpoint function; they take effect when `install` finds its route.

    Args:
        settings: Those of `EndpointConfig`, as `EndpointConfig.from_mapping` takes them.
    """
    config = EndpointConfig.from_mapping(settings)

    def mark(function: Endpoint) -> Endpoint:
        setattr(function, _MARK, config)
        return function

    return mark


class EndpointPolicy:
    """An endpoint's settings, ready to use."""

    __slots__ = ("breaker", "config", "name")

    def __init__(self, name: str, config: EndpointConfig) -> None:
        self.name = name
        self.config = config
        self.breaker: CircuitBreaker | None = None
        if config.circuit_breaker is not None:
            self.breaker = get_circuit_breaker(f"endpoint {name}", config.circuit_breaker)
            # without OpenTelemetry there are no spans to note it in
            with contextlib.suppress(ModuleNotFoundError):
                from resilience.observability.tracing import note_event

                self.breaker.add_listener(note_event)

    async def fallback_response(self, scope: Scope) -> Response | None:
        """Return what stands in for a rejected call; None when nothing does."""
        fallback = self.config.fallback
        if callable(fallback):
            answer = fallback(Request(scope))
            fallback = await answer if hasattr(answer, "__await__") else answer
        if fallback is None or isinstance(fallback, Response):
            return fallback
        return JSONResponse(fallback)


class EndpointTable:
    """Finds the policy of a request before it is routed: a dict look-up, then the configured templates.

    Args:
        configs: Settings by route template, or by method and template as `GET /path`.
    """

    def __init__(self, configs: Mapping[str, EndpointConfig] = {}) -> None:
        self._exact: dict[str, EndpointPolicy] = {}
        self._templates: list[tuple[str | None, re.Pattern[str], EndpointPolicy]] = []
        self.names: set[str] = set()
        for name, config in configs.items():
            self.add(name, config)

    def add(self, name: str, config: EndpointConfig) -> None:
        """Protect one more endpoint; the first settings of a name stay."""
        if name in self.names:
            return
        self.names.add(name)
        policy = EndpointPolicy(name, config)
        method, _, path = name.rpartition(" ")
        pattern, _, parameters = compile_path(path)
        if parameters:
            self._templates.append((method or None, pattern, policy))
        else:
            self._exact[name] = policy

    def add_marked(self, routes: Iterable[BaseRoute]) -> None:
        """Protect the endpoints that the decorator marked."""
        for route in flat(routes):
            config = getattr(getattr(route, "endpoint", None), _MARK, None)
            path = getattr(route, "path", None)
            if isinstance(config, EndpointConfig) and isinstance(path, str) and path not in self.names:
                for method in sorted(getattr(route, "methods", None) or ()):
                    self.add(f"{method} {path}", config)

    def find(self, scope: Scope) -> EndpointPolicy | None:
        """Return the policy of a request, None for an endpoint without one."""
        if not self.names:
            return None
        path, method = scope["path"], scope["method"]
        exact = self._exact
        found = exact.get(path) or exact.get(f"{method} {path}")
        if found is not None:
            return found
        for wanted, pattern, policy in self._templates:
            if (wanted is None or wanted == method) and pattern.match(path):
                return policy
        return None
