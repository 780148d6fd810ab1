"""What `install` is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from resilience._checks import number, whole
from resilience.fastapi._admission import DEFAULT_MAX_ACTIVE, DEFAULT_MAX_LAG
from resilience.fastapi._body import DEFAULT_MAX_BODY
from resilience.fastapi._endpoints import EndpointConfig


@dataclass(frozen=True, kw_only=True)
class FastAPIConfig:
    """Settings of the integration.

    Attributes:
        endpoints: Settings of single endpoints by route template, or by method and template as `GET /path`.
        max_body_bytes: Longest request body, at least 0.
        max_active: Requests in progress beyond which new ones are refused, at least 1.
        adaptive: Whether that limit follows the time that requests take: it falls while they take longer.
        max_lag: Seconds of event-loop lag from which requests are shed, above 0.
        check_interval: Seconds between two background checks of a dependency, above 0.
        check_timeout: Seconds after which such a check has failed, above 0.
    """

    endpoints: Mapping[str, EndpointConfig] = field(default_factory=dict)
    max_body_bytes: int = DEFAULT_MAX_BODY
    max_active: int = DEFAULT_MAX_ACTIVE
    adaptive: bool = False
    max_lag: float = DEFAULT_MAX_LAG
    check_interval: float = 5.0
    check_timeout: float = 2.0

    def __post_init__(self) -> None:
        for name, least in (("max_body_bytes", 0), ("max_active", 1)):
            if not whole(name, getattr(self, name)) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        for name in ("max_lag", "check_interval", "check_timeout"):
            if not number(name, getattr(self, name)) > 0:
                raise ValueError(f"{name} must be above 0 seconds, got {getattr(self, name)!r}")

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> "FastAPIConfig":
        """Build it from plain values, as a section of a configuration file has them."""
        if not isinstance(given, Mapping):
            raise TypeError(f"config must be a FastAPIConfig or a mapping, got {given!r}")
        values = dict(given)
        known = [f.name for f in fields(cls)]
        if unknown := set(values) - set(known):
            raise ValueError(f"unknown setting {min(unknown)!r}; known are {', '.join(known)}")
        endpoints = values.get("endpoints", {})
        values["endpoints"] = {
            name: config if isinstance(config, EndpointConfig) else EndpointConfig.from_mapping(config)
            for name, config in endpoints.items()
        }
        return cls(**values)
