"""Settings of a circuit breaker: defaults, checks and their native form."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from resilience import _core
from resilience._checks import as_float, clock_or_none, plain_function, plain_function_or_none
from resilience._types import MISSING, type_name

ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]

_WHOLE = frozenset({"failure_threshold", "minimum_calls", "success_threshold", "half_open_requests",
                    "half_open_concurrency", "window_calls"})  # fmt: skip
_PYTHON_ONLY = frozenset({"failure_on", "ignore", "failure_result", "fallback", "clock"})
_MOST = 10**9  # more than any whole number here may be; its own range is checked by the machine
_SMALLEST_MAX_RECOVERY = 300.0


def _check_number(key: str, value: Any) -> None:
    whole = key in _WHOLE
    allowed = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        wanted = "a whole number" if whole else "a number"
        raise TypeError(f"{key} must be {wanted}, got {type_name(value)} {value!r}")
    if whole and abs(value) > _MOST:
        raise ValueError(f"{key} must be a whole number of a million at most, got {value!r}")


def _is_types(value: Any) -> bool:
    members = value if isinstance(value, tuple) else (value,)
    return all(isinstance(member, type) and issubclass(member, BaseException) for member in members)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitBreakerConfig:
    """Settings of a :class:`CircuitBreaker`; ``None`` stands for a default that depends on the others.

    Attributes:
        failure_threshold: consecutive failures that open it, 0 to 1,000,000; 0 = off. Default 3, or 0 when a rate
            threshold is set.
        failure_rate_threshold: fraction in (0, 1] of failures in the window at which it opens.
        minimum_calls: calls in the window before a rate counts, 1 to 1,000,000; the default 10 is at most
            `window_calls`.
        slow_call_duration: seconds from which on a call is slow.
        slow_call_rate_threshold: fraction in (0, 1] of slow calls in the window at which it opens.
        monitor_window: length of the window in seconds.
        window_calls: the last n calls are the window instead, 1 to 1,000,000.
        recovery_timeout: seconds from open to half-open.
        recovery_jitter: fraction in [0, 1): the real time is ``recovery_timeout * U(1 - recovery_jitter, 1)``.
        recovery_backoff: factor in [1, 100] for each reopening without a close in between.
        max_recovery_timeout: seconds, the longest it stays open. Default ``max(300, recovery_timeout)``.
        success_threshold: successful probes that close it, 1 to 10,000.
        half_open_requests: probes admitted in all. Default ``max(2, success_threshold)``, never below it.
        half_open_concurrency: probes in flight at once, 1 to 10,000.
        probe_timeout: seconds after which a probe's place is given away. Default ``recovery_timeout``.
        failure_on: exceptions that are failures, as a class, a tuple of classes or a predicate. By default any
            ``Exception`` but a caller's own mistake (an HTTP status below 500 other than 408 and 429) and other
            policies' rejections.
        ignore: exceptions that are neither failure nor success.
        failure_result: a predicate on results; a result for which it is true is a failure.
        fallback: answers instead of a rejection: a value, or an (async) function of the call's arguments.
        clock: where time comes from; the system's clock when ``None``.
    """

    FAILURE_THRESHOLD: ClassVar[int] = 3
    RECOVERY_TIMEOUT: ClassVar[float] = 30
    HALF_OPEN_REQUESTS: ClassVar[int] = 2
    MONITOR_WINDOW: ClassVar[float] = 60

    failure_threshold: int | None = None
    failure_rate_threshold: float | None = None
    minimum_calls: int = 10
    slow_call_duration: float | None = None
    slow_call_rate_threshold: float | None = None
    monitor_window: float = 60.0
    window_calls: int | None = None
    recovery_timeout: float = 30.0
    recovery_jitter: float = 0.1
    recovery_backoff: float = 1.0
    max_recovery_timeout: float | None = None
    success_threshold: int = 2
    half_open_requests: int | None = None
    half_open_concurrency: int = 1
    probe_timeout: float | None = None
    failure_on: ExceptionTypes | Callable[[BaseException], bool] | None = None
    ignore: ExceptionTypes = ()
    failure_result: Callable[[Any], bool] | None = None
    fallback: Any = MISSING
    clock: _core.Clock | None = None

    def __post_init__(self) -> None:
        """Check everything; raise ``TypeError`` or ``ValueError`` naming the setting and its range."""
        for key, value in self._given():
            if value is not None:
                _check_number(key, value)
        if self.window_calls is not None and self.window_calls < 1:
            raise ValueError(f"window_calls must be a whole number in [1, 1000000], got {self.window_calls}")
        self._check_rules()
        _ = self._settings

    @functools.cached_property
    def _settings(self) -> _core.CircuitBreakerSettings:
        """Their native form, which all breakers of this configuration share."""
        return _core.CircuitBreakerSettings(self._resolved())

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _given(self) -> list[tuple[str, Any]]:
        return [
            (field.name, getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in _PYTHON_ONLY
        ]

    def _check_rules(self) -> None:
        if self.failure_on is not None and not _is_types(self.failure_on):
            if not callable(self.failure_on):
                raise TypeError(
                    "failure_on must be an exception class, a tuple of them or a predicate, "
                    f"got {type_name(self.failure_on)}",
                )
            plain_function("failure_on", self.failure_on)
        if not _is_types(self.ignore):
            raise TypeError(
                f"ignore must be an exception class or a tuple of them, got {type_name(self.ignore)}"
            )
        plain_function_or_none("failure_result", self.failure_result)
        clock_or_none(self.clock)

    def _resolved(self) -> dict[str, Any]:
        values = {key: as_float(value) if isinstance(value, int) and key not in _WHOLE else value
                  for key, value in self._given()}  # fmt: skip
        if self.window_calls is not None and self.minimum_calls == CircuitBreakerConfig.minimum_calls:
            values["minimum_calls"] = min(self.minimum_calls, self.window_calls)  # nobody asked for more
        for key in ("minimum_calls", "monitor_window", "recovery_timeout", "recovery_jitter", "recovery_backoff",
                    "success_threshold", "half_open_concurrency"):  # fmt: skip
            if values[key] is None:
                raise TypeError(f"{key} must be a number, got None")
        rates = self.failure_rate_threshold is not None or self.slow_call_rate_threshold is not None
        defaults = {
            "failure_threshold": 0 if rates else self.FAILURE_THRESHOLD,
            "window_calls": 0,
            "max_recovery_timeout": max(_SMALLEST_MAX_RECOVERY, values["recovery_timeout"]),
            "half_open_requests": max(self.HALF_OPEN_REQUESTS, self.success_threshold),
            "probe_timeout": values["recovery_timeout"],
        }
        return {key: defaults.get(key) if value is None else value for key, value in values.items()}

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from plain settings.

        Args:
            settings: names of attributes and their values.

        Raises:
            ValueError: for an unknown name or a value out of range.
            TypeError: for a value of the wrong type.
        """
        if not isinstance(settings, Mapping):
            raise TypeError(f"settings must be a mapping, got {type_name(settings)}")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(map(str, set(settings) - known))
        if unknown:
            raise ValueError(f"unknown settings {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**settings)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed.

        Args:
            **changes: settings by their names.

        Raises:
            TypeError: for an unknown name, or a value of the wrong type.
            ValueError: for a value out of its range.
        """
        return dataclasses.replace(self, **changes)
