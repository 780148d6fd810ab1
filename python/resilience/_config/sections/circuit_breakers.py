"""The section `circuit_breakers`: settings of breakers by name and family.

They are laid over what code asks for: `defaults` fill in what code leaves at the library's default; a family or a
name has the last word. Breakers that exist take new settings in place and keep their state and history.
"""

import dataclasses
from typing import TYPE_CHECKING

from resilience import _listing
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._config.kinds import Duration, Number, Optional, Rate, Whole
from resilience._config.nodes import Node
from resilience._config.schema import Commit, Entries, Parameter, Schema, Section, Setting, wrong_combination

if TYPE_CHECKING:
    from collections.abc import Mapping

_CALLS = 1_000_000
_PROBES = 10_000
_DURATION = Duration(0.001, 366 * 86_400.0)
_SHARE = Rate(above=True)

_SCHEMA = Schema(
    (
        Parameter(
            "failure_threshold", Optional(Whole(0, _CALLS)), "consecutive failures that open it, 0 = off"
        ),
        Parameter("failure_rate_threshold", Optional(_SHARE), "rate of failures in the window that opens it"),
        Parameter("minimum_calls", Whole(1, _CALLS), "calls in the window before a rate counts"),
        Parameter("slow_call_duration", Optional(_DURATION), "from here on a call is slow"),
        Parameter(
            "slow_call_rate_threshold", Optional(_SHARE), "rate of slow calls in the window that opens it"
        ),
        Parameter("monitor_window", _DURATION, "length of the window"),
        Parameter("window_calls", Optional(Whole(1, _CALLS)), "the last n calls are the window instead"),
        Parameter("recovery_timeout", _DURATION, "from open to half-open"),
        Parameter("recovery_jitter", Rate(below=True), "by how much the recovery timeout may be shorter"),
        Parameter("recovery_backoff", Number(1, 100), "factor for each reopening without a close in between"),
        Parameter("max_recovery_timeout", Optional(_DURATION), "the longest it stays open"),
        Parameter("success_threshold", Whole(1, _PROBES), "successful probes that close it"),
        Parameter("half_open_requests", Optional(Whole(1, _PROBES)), "probes admitted in all"),
        Parameter("half_open_concurrency", Whole(1, _PROBES), "probes in flight at once"),
        Parameter("probe_timeout", Optional(_DURATION), "after which a probe's place is given away"),
    ),
    code_only=frozenset({"name", "clock", "failure_on", "ignore", "failure_result", "fallback"}),
)
_LIBRARY_DEFAULTS = CircuitBreakerConfig()


@dataclasses.dataclass(frozen=True)
class _Rules:
    """What the present configuration says about breakers."""

    entries: Entries

    def over(self, name: str, coded: CircuitBreakerConfig) -> CircuitBreakerConfig:
        """The settings of a breaker of that name for which code asks `coded`.

        Raises:
            ConfigError: they do not go together.
        """
        base = {
            key: setting
            for key, setting in self.entries.base.items()
            if getattr(coded, key) == getattr(_LIBRARY_DEFAULTS, key)
        }
        settings: Mapping[str, Setting] = {**base, **self.entries.about(name)}
        if not settings:
            return coded
        try:
            return coded.replace(**{key: setting.value for key, setting in settings.items()})
        except (ValueError, TypeError) as error:
            *_, latest = settings.values()
            place = Node(None, f"circuit_breakers.{name}", latest.node.line)
            raise wrong_combination(error, settings, place) from None


def _prepare(entries: Entries) -> Commit:
    rules = _Rules(entries)
    for name in ("", *entries.names):
        rules.over(name, _LIBRARY_DEFAULTS)
    return _listing.prepare_overlay(rules.over)


SECTION = Section("circuit_breakers", "circuit breakers by name or family", _SCHEMA, _prepare)
