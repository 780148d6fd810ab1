"""The section `pipelines`: policies of named pipelines, which `get_pipeline` hands out.

A policy is a table of its settings, under its place in the pipeline; one that is unchanged by a reload keeps its
state, bulkheads and rate limits are adjusted in place.
"""

import builtins
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

from resilience import errors
from resilience._adaptive_limit import AdaptiveLimit
from resilience._bulkhead import Bulkhead
from resilience._config.kinds import (
    Choice,
    Duration,
    Flag,
    Kind,
    ListOf,
    NotAccepted,
    Number,
    Text,
    Whole,
)
from resilience._config.nodes import Node
from resilience._config.schema import Commit, Entries, Parameter, Schema, Section, Settings, wrong_combination
from resilience._hedge import Hedge
from resilience._named import Layout, prepare
from resilience._rate_limit import RateLimit
from resilience._registry import get_circuit_breaker
from resilience._retry import Retry, RetryBudget
from resilience._timeout import Timeout

_DURATION = Duration(0.001, 366 * 86_400.0)
_WAIT = Duration(0.0, 366 * 86_400.0)
_MANY = 1_000_000


@dataclasses.dataclass(frozen=True)
class _Table(Kind):
    """A policy's settings, or, where there is a shorthand, its main setting alone."""

    schema: Schema

    def accepts(self) -> str:
        return f"a table of {', '.join(parameter.name for parameter in self.schema.parameters)}"

    def convert(self, value: object) -> object:  # noqa: ARG002 - a table is read, not converted
        raise NotAccepted

    def read(self, node: Node) -> object:
        if self.schema.shorthand is None and not isinstance(node.value, dict):
            return super().read(node)
        return {key: setting.value for key, setting in self.schema.read(node).items()}


@dataclasses.dataclass(frozen=True)
class _ErrorName(Kind):
    """An exception of Python itself or of this library by name, any other with its module (httpx.ReadError).

    Nothing is imported on a file's behalf: the module is one that the program has imported.
    """

    def accepts(self) -> str:
        return "the name of an exception of Python, of resilience.errors, or module.name of a module imported before"

    def convert(self, value: object) -> object:
        if not isinstance(value, str):
            raise NotAccepted
        module, _, name = value.rpartition(".")
        places = (sys.modules.get(module),) if module else (errors, builtins)
        found = next((getattr(place, name) for place in places if hasattr(place, name)), None)
        if not (isinstance(found, type) and issubclass(found, Exception)):
            raise NotAccepted
        return found


@dataclasses.dataclass(frozen=True)
class _Delay(Kind):
    """A time, or a percentile of recent calls."""

    def accepts(self) -> str:
        return f"{_WAIT.accepts()}, or a percentile (p95)"

    def convert(self, value: object) -> object:
        return value if isinstance(value, str) and value.startswith("p") else _WAIT.convert(value)


def _table(*parameters: tuple[str, Kind, str], shorthand: str | None = None) -> _Table:
    return _Table(Schema(tuple(Parameter(*each) for each in parameters), shorthand=shorthand))


_TIMEOUT = _table(
    ("seconds", _DURATION, "for a call or a whole stream"),
    ("first_item", _DURATION, "for the first item of a stream"),
    ("idle", _DURATION, "for each further item of a stream"),
    shorthand="seconds",
)
_RETRY = _table(
    ("on", ListOf(_ErrorName(), 100), "exceptions that are retried"),
    ("attempts", Whole(1, _MANY), "calls in all"),
    ("wait_initial", _WAIT, "ceiling of the first wait"),
    ("wait_max", _WAIT, "ceiling of every wait"),
    ("wait_exp_base", Number(1, 1000), "by which the ceiling grows"),
    ("jitter", Choice(("full", "equal", "decorrelated", "none")), "how waits are spread below it"),
    ("honor_retry_after", Flag(), "wait as long as upstream asks"),
    ("budget_ratio", Number(0, 1000), "retries that each call earns"),
    ("budget_min_per_second", Number(0, _MANY), "retries that each second earns"),
)
_HEDGE = _table(
    ("delay", _Delay(), "after which a further request is sent"),
    ("max_hedges", Whole(1, 100), "further requests for one call"),
    shorthand="delay",
)
_RATE_LIMIT = _table(
    ("rate", Number(0, 1e9, above=True), "calls"),
    ("per", Duration(0, 366 * 86_400.0, above=True), "in this time"),
    ("burst", Number(1, 1e9), "calls that may come at once"),
    ("max_wait", _WAIT, "how long a call may wait for its turn"),
)
_BULKHEAD = _table(
    ("max_concurrent", Whole(1, _MANY), "calls at once"),
    ("max_waiting", Whole(0, _MANY), "calls that may wait"),
    ("max_wait", _DURATION, "how long they may"),
    shorthand="max_concurrent",
)
_ADAPTIVE_LIMIT = _table(
    ("initial", Whole(1, _MANY), "the limit at the start"),
    ("min", Whole(1, _MANY), "the least limit"),
    ("max", Whole(1, _MANY), "the greatest limit"),
    ("algorithm", Choice(("gradient2", "vegas", "aimd")), "how it is estimated"),
    ("max_waiting", Whole(0, _MANY), "calls that may wait"),
)
_SCHEMA = Schema(
    (
        Parameter("total_timeout", _DURATION, "for everything, further attempts included"),
        Parameter("retry", _RETRY, "makes failed calls again"),
        Parameter("hedge", _HEDGE, "sends a further request while the first is slow"),
        Parameter("circuit_breaker", Text(200), "name of a circuit breaker"),
        Parameter("rate_limit", _RATE_LIMIT, "calls in a time"),
        Parameter("bulkhead", _BULKHEAD, "calls at once"),
        Parameter("adaptive_limit", _ADAPTIVE_LIMIT, "calls at once, as many as the callee can take"),
        Parameter("timeout", _TIMEOUT, "for one attempt"),
    ),
    code_only=frozenset({"name", "clock", "fallback"}),
)


def _retry(name: str, settings: Mapping[str, Any]) -> Retry:
    given = dict(settings)
    ratio, floor = given.pop("budget_ratio", 0.2), given.pop("budget_min_per_second", 10.0)
    return Retry(**{"on": (), **given}, budget=RetryBudget(ratio, floor), name=name)


_BUILDERS: dict[str, Callable[[str, Any], Any]] = {
    "total_timeout": lambda name, seconds: Timeout(seconds, name=name),
    "retry": _retry,
    "hedge": lambda name, settings: Hedge(**settings, name=name),
    "circuit_breaker": lambda _name, breaker: get_circuit_breaker(breaker),
    "rate_limit": lambda name, settings: RateLimit(**settings, name=name),
    "bulkhead": lambda name, settings: Bulkhead(**settings, name=name),
    "adaptive_limit": lambda name, settings: AdaptiveLimit(**settings, name=name),
    "timeout": lambda name, settings: Timeout(**settings, name=name),
}


def _build(name: str, place: str, settings: Any) -> Any:
    return _BUILDERS[place](name, settings)


def _check(name: str, settings: Settings) -> None:
    """Make every policy once, to see that its settings go together; breakers are made when they are needed."""
    for place, setting in settings.items():
        if place == "circuit_breaker":
            continue
        try:
            _build(name, place, setting.value)
        except (ValueError, TypeError) as error:
            raise wrong_combination(error, settings, setting.node) from None


def _prepare(entries: Entries) -> Commit:
    for name in entries.names:
        _check(name, {**entries.base, **entries.about(name)})

    def settings_of(name: str) -> Settings:
        return {**entries.base, **entries.about(name)} if entries.mentions(name) else {}

    def layout(name: str) -> Layout:
        return {place: setting.value for place, setting in settings_of(name).items()}

    def refused(name: str, error: TypeError) -> Exception:
        settings = settings_of(name)
        return wrong_combination(error, settings, next(iter(settings.values())).node)

    return prepare(layout, _build, refused)


SECTION = Section(
    "pipelines", "policies of pipelines by name or family, handed out by `get_pipeline`", _SCHEMA, _prepare
)
