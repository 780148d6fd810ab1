"""The circuit breaker's public face: its settings, its state and those who listen to it.

Deciding happens in the core, calling in the native guard; what is here runs on construction, on transitions
and when somebody asks.
"""

import itertools
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from resilience import _core
from resilience._checks import as_float, clock_or_none, label_or_none, number
from resilience._circuit_breaker_config import CircuitBreakerConfig, ExceptionTypes
from resilience._contexts import ContextStack, GuardContext
from resilience._guard import check_fallback, kind_of, protect
from resilience._health_probe import ProbedBreaker
from resilience._listing import configured, register
from resilience._types import MISSING, STATES, State, type_name

_numbers = itertools.count(1)
F = TypeVar("F", bound=Callable[..., Any])


class CircuitBreaker(ProbedBreaker):
    """Stops calling what keeps failing, and tries again after a while.

    It wraps coroutine functions, plain functions and generators of both kinds, as a decorator, through
    :meth:`call` and :meth:`call_sync`, or as a ``with`` block. All functions under one breaker share its state;
    any number of threads and event loops may. The rules of its windows follow resilience4j.

    Args:
        name: for messages, metrics and the registry; made up when ``None``.
        clock: where time comes from; the system's clock when ``None``.
        failure_threshold: see :class:`CircuitBreakerConfig` for this and the other settings.
        failure_rate_threshold: fraction of failures in the window that opens it.
        minimum_calls: calls in the window before a rate counts.
        slow_call_duration: seconds from which on a call is slow.
        slow_call_rate_threshold: fraction of slow calls in the window that opens it.
        monitor_window: length of the window in seconds.
        window_calls: the last n calls are the window instead.
        recovery_timeout: seconds from open to half-open.
        recovery_jitter: fraction of ``recovery_timeout`` by which it may be shorter.
        recovery_backoff: factor for each reopening without a close in between.
        max_recovery_timeout: seconds, the longest it stays open.
        success_threshold: successful probes that close it.
        half_open_requests: probes admitted in all.
        half_open_concurrency: probes in flight at once.
        probe_timeout: seconds after which a probe's place is given away.
        failure_on: exceptions that are failures.
        ignore: exceptions that are neither failure nor success.
        failure_result: a predicate on results; a result for which it is true is a failure.
        fallback: answers instead of a rejection.

    Raises:
        ValueError: for a setting out of its range.
        TypeError: for a setting of the wrong type.
    """

    __slots__ = ("__weakref__", "_blocks", "_coded", "_config")

    def __init__(  # noqa: PLR0913 - its parameters are its documentation
        self,
        name: str | None = None,
        *,
        failure_threshold: int | None = None,
        failure_rate_threshold: float | None = None,
        minimum_calls: int = 10,
        slow_call_duration: float | None = None,
        slow_call_rate_threshold: float | None = None,
        monitor_window: float = 60.0,
        window_calls: int | None = None,
        recovery_timeout: float = 30.0,
        recovery_jitter: float = 0.1,
        recovery_backoff: float = 1.0,
        max_recovery_timeout: float | None = None,
        success_threshold: int = 2,
        half_open_requests: int | None = None,
        half_open_concurrency: int = 1,
        probe_timeout: float | None = None,
        failure_on: ExceptionTypes | Callable[[BaseException], bool] | None = None,
        ignore: ExceptionTypes = (),
        failure_result: Callable[[Any], bool] | None = None,
        fallback: Any = MISSING,
        clock: _core.Clock | None = None,
    ) -> None:
        config = CircuitBreakerConfig(
            failure_threshold=failure_threshold,
            failure_rate_threshold=failure_rate_threshold,
            minimum_calls=minimum_calls,
            slow_call_duration=slow_call_duration,
            slow_call_rate_threshold=slow_call_rate_threshold,
            monitor_window=monitor_window,
            window_calls=window_calls,
            recovery_timeout=recovery_timeout,
            recovery_jitter=recovery_jitter,
            recovery_backoff=recovery_backoff,
            max_recovery_timeout=max_recovery_timeout,
            success_threshold=success_threshold,
            half_open_requests=half_open_requests,
            half_open_concurrency=half_open_concurrency,
            probe_timeout=probe_timeout,
            failure_on=failure_on,
            ignore=ignore,
            failure_result=failure_result,
            fallback=fallback,
            clock=clock,
        )
        self._start(name, config, None)
        register(self)

    @classmethod
    def from_config(
        cls,
        config: CircuitBreakerConfig,
        name: str | None = None,
        *,
        clock: _core.Clock | None = None,
        listed: bool = True,
    ) -> Self:
        """Make a breaker from a configuration; breakers of one configuration share its memory.

        Args:
            config: its settings.
            name: made up when ``None``.
            clock: the configuration's when ``None``.
            listed: whether :func:`get_all_circuit_breakers` lists it and :func:`configure` reaches it by name.
        """
        breaker = cls.__new__(cls)
        breaker._start(name, config, clock, listed=listed)  # noqa: SLF001
        if listed:
            register(breaker)
        return breaker

    def _start(
        self,
        name: str | None,
        config: CircuitBreakerConfig,
        clock: _core.Clock | None,
        *,
        listed: bool = True,
    ) -> None:
        if listed:
            label_or_none("name", name)
        clock_or_none(clock)
        self._name = f"circuit-breaker-{next(_numbers)}" if name is None else name
        self._coded = config
        self._config = config = configured(self._name, config) if listed else config
        self._listeners = ()
        self._events = None
        self._probers = ()
        self._reason = None
        self._blocks: ContextStack | None = None
        self._set_up(self._name, config._settings, config.clock if clock is None else clock)  # noqa: SLF001
        self._apply_rules(config)

    def _apply_rules(self, config: CircuitBreakerConfig) -> None:
        has_fallback = config.fallback is not MISSING
        self._set_rules(
            config.failure_on,
            config.ignore or None,
            config.failure_result,
            config.fallback if has_fallback else None,
            has_fallback,
        )

    def _reconfigure(self, config: CircuitBreakerConfig) -> None:
        """Take new settings, keeping state, history and everybody who holds this breaker."""
        if config == self._config:
            return
        self._change_settings(config._settings)  # noqa: SLF001
        self._apply_rules(config)
        self._config = config

    # ---- guarding ----

    def __call__(self, function: F, /) -> F:
        """Decorate a function of any kind; what comes back is of the same kind.

        Raises:
            TypeError: for something that can't be called, or a plain function when ``fallback`` is async.
        """
        if not isinstance(function, (staticmethod, classmethod)):
            check_fallback(self._config.fallback, kind_of(function))
        wrapped: F = protect(self, function)
        return wrapped

    def guard(self) -> GuardContext:
        """Return a single-use object for one ``with`` or ``async with`` block."""
        return GuardContext(self)

    def __enter__(self) -> Self:
        if self._blocks is None:
            self._blocks = ContextStack()
        self._blocks.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._blocks is None:
            raise RuntimeError("the block was left without being entered")
        self._blocks.leave(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.__exit__(kind, error, trace)

    # ---- looking ----

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    breaker_name = name  # what protected_functions() asks any policy for

    @property
    def config(self) -> CircuitBreakerConfig:
        """Its settings, those of :func:`resilience.configure` included."""
        return self._config

    @property
    def coded(self) -> CircuitBreakerConfig:
        """The settings that code asked for."""
        return self._coded

    @property
    def state(self) -> State:
        """Its state; reading changes nothing, so an open one stays open until a call is admitted."""
        return STATES[self._state()]

    @property
    def failure_count(self) -> int:
        """Failures in the window."""
        failures: int = self._window()[1]
        return failures

    @property
    def success_count(self) -> int:
        """Successes in the window."""
        calls, failures, cancelled = self._window()
        return int(calls) - int(failures) - int(cancelled)

    @property
    def last_failure_time(self) -> float | None:
        """UNIX seconds of the last failure, ``None`` when there was none."""
        when: float | None = self._last_failure_time()
        return when

    @property
    def opened_until(self) -> float | None:
        """Seconds on the breaker's clock at which it may admit calls again.

        ``None`` when it isn't open, and when it was forced open without an end.
        """
        until: float | None = self._opened_until()
        return until

    def get_stats(self) -> dict[str, Any]:
        """Return everything there is to know, ready for JSON; durations in seconds, rates as fractions."""
        now = self._snapshot()
        calls, failures, slow = now["calls"], now["failures"], now["slow"]
        p50, p90, p99 = now["latency"]
        return {
            "name": self._name,
            "state": STATES[now["state"]].value,
            "failure_count": failures,
            "success_count": calls - failures - now["cancelled"],
            "last_failure_time": self.last_failure_time,
            "consecutive_failures": now["consecutive_failures"],
            "failure_rate": failures / calls if calls else 0.0,
            "slow_call_rate": slow / calls if calls else 0.0,
            "slow_call_count": slow,
            "retry_after": now["retry_after"],
            "reason": self._reason,
            "totals": now["totals"],
            "latency": {"p50": p50, "p90": p90, "p99": p99},
            "time_in_state": {state.value: now["time_in_state"][i] for i, state in enumerate(STATES)},
            "transitions": {state.value: now["entered"][i] for i, state in enumerate(STATES)},
        }

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self._name!r} {self.state.value}>"

    # ---- steering ----

    def reset(self) -> None:
        """Close it and forget the window; totals stay."""
        self._reason = None
        self._reset_state()
        self._clear_last_failure()
        self._tell_reset()

    _reset = reset

    def force_open(self, reason: str | None = None, ttl: float | None = None) -> None:
        """Reject every call until told otherwise.

        Args:
            reason: for people, shown in the event, the log and the statistics.
            ttl: seconds after which it is closed again; ``None`` for never.

        Raises:
            ValueError: when ``ttl`` is not a number above 0.
        """
        seconds = None if ttl is None else number("ttl", ttl)
        if seconds is not None and not seconds > 0:
            raise ValueError(f"ttl must be a number of seconds > 0, got {ttl}")
        self._reason = label_or_none("reason", reason)
        self._force_open(seconds)

    def disable(self) -> None:
        """Let every call through and record nothing."""
        self._reason = None
        self._disable()

    def metrics_only(self) -> None:
        """Let every call through and record it."""
        self._reason = None
        self._metrics_only()

    def trip(self, duration: float) -> None:
        """Open it for ``duration`` seconds, for example those of a ``Retry-After``.

        At most ``max_recovery_timeout``. A value that is no positive number is ignored: it comes from outside.
        """
        try:
            seconds = as_float(duration)
        except (TypeError, ValueError):
            return
        if math.isnan(seconds):
            return
        self._trip(seconds)

    def record_success(self, duration: float) -> None:
        """Count a success of ``duration`` seconds that was observed elsewhere.

        Raises:
            ValueError: when ``duration`` is negative or not finite.
            TypeError: when it is no number.
        """
        self._record(_elapsed(duration), None)

    def record_failure(self, exc: BaseException, duration: float) -> None:
        """Count an error that was observed elsewhere after ``duration`` seconds, as a call's would be.

        Raises:
            ValueError: when ``duration`` is negative or not finite.
            TypeError: when it is no number, or ``exc`` no exception.
        """
        if not isinstance(exc, BaseException):
            raise TypeError(f"exc must be an exception, got {type_name(exc)}")
        self._record(_elapsed(duration), exc)


def _elapsed(duration: float) -> float:
    given = number("duration", duration)
    if not 0.0 <= given < math.inf:
        raise ValueError(f"duration must be a finite number of seconds >= 0, got {duration!r}")
    return given
