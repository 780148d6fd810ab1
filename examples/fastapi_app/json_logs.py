"""The log as JSON, one object a line, each with the request's correlation id and its trace."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from resilience.fastapi import correlation_id

try:
    from resilience.observability.tracing import trace_ids
except ModuleNotFoundError:  # without OpenTelemetry nothing is traced

    def trace_ids() -> dict[str, str]:
        """Return no ids."""
        return {}


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids by which a line is found again."""
    ids: dict[str, Any] = {"correlation_id": correlation_id(), **trace_ids()}
    return {**event, **{name: value for name, value in ids.items() if value is not None}}


_SHARED = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_ids,
    structlog.processors.format_exc_info,
)


def json_formatter() -> logging.Formatter:
    """Return a formatter for the lines of structlog and of the standard library alike."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )


def set_up(level: str) -> None:
    """Write everything from `level` on to standard output; uvicorn's own lines stay on standard error."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(json_formatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
