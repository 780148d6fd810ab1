"""Making failed calls again."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Literal

from resilience import _core
from resilience._checks import (
    Errors,
    clock_or_none,
    errors,
    flag,
    holds,
    integer,
    number,
    plain_function,
    text,
    whole,
)
from resilience._core import Clock
from resilience._deadline import remaining, wait_limit
from resilience._policy import Policy
from resilience._retry_after import retry_after
from resilience._waiting import SYSTEM_CLOCK
from resilience.errors import RejectedError, ResilienceError, RetryBudgetExhaustedError
from resilience.events import RetriesStopped, RetryScheduled

_log = logging.getLogger("resilience.retry")

# What ends a call or a program, and is therefore never repeated, whatever `on` says.
_FINAL = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


class RetryBudget:
    """Bounds the load that retries add while an upstream fails; may be shared by several policies.

    It starts with one second's `min_per_second`; each call adds `ratio`, each second `min_per_second`, and each retry
    takes one. After Finagle's ``RetryBudget``.

    Args:
        ratio: retries earned by each call, in [0, 1000].
        min_per_second: retries earned by each second, in [0, 1000000].
        max_balance: retries that can be saved up, >= 1, so that a quiet hour can't pay for a storm.
        clock: where seconds are measured.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        min_per_second: float = 10.0,
        *,
        max_balance: float = 1000.0,
        clock: Clock | None = None,
    ) -> None:
        self._machine = _core.RetryBudget(
            ratio=number("ratio", ratio),
            min_per_second=number("min_per_second", min_per_second),
            max_balance=number("max_balance", max_balance),
            clock=clock_or_none(clock) or SYSTEM_CLOCK,
        )

    @property
    def balance(self) -> float:
        """Retries that could be made now."""
        return self._machine.balance

    def on_call(self) -> None:
        """Count a call. Policies do this themselves; it is for retries written by hand."""
        self._machine.on_call()

    def take(self) -> None:
        """Take one retry out. Policies do this themselves; it is for retries written by hand.

        Raises:
            RetryBudgetExhaustedError: if the budget is spent.
        """
        if not self._machine.try_take():
            raise RetryBudgetExhaustedError("retry budget")


_OWN_BUDGET = RetryBudget()  # stands for "one of its own"; never used


class Retry(Policy):
    """Makes failed calls again; made by `retry`, which documents it."""

    _kind = "retry"

    def __init__(
        self,
        *,
        on: Errors | Callable[[BaseException], bool],
        attempts: int = 3,
        wait_initial: float = 0.1,
        wait_max: float = 5.0,
        wait_exp_base: float = 2.0,
        jitter: Literal["full", "equal", "decorrelated", "none"] = "full",
        budget: RetryBudget | None = _OWN_BUDGET,
        honor_retry_after: bool = True,
        seed: int | None = None,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._on = errors("on", on)
        self._honor_retry_after = flag("honor_retry_after", honor_retry_after)
        if budget is not None and not isinstance(budget, RetryBudget):
            raise TypeError(f"budget must be a RetryBudget or None, got {budget!r}")
        self._budget = RetryBudget(clock=clock) if budget is _OWN_BUDGET else budget
        self._machine = _core.Retry(
            attempts=whole("attempts", attempts),
            wait_initial=number("wait_initial", wait_initial),
            wait_max=number("wait_max", wait_max),
            wait_exp_base=number("wait_exp_base", wait_exp_base),
            jitter=text("jitter", jitter),
            seed=secrets.randbits(64) if seed is None else integer("seed", seed) & (2**64 - 1),
            budget=None if self._budget is None else self._budget._machine,  # noqa: SLF001 # one concept, two classes
            clock=self._clock,
        )
        self._listeners: tuple[Callable[[RetryScheduled | RetriesStopped], object], ...] = ()
        self._compile(retry=self)

    @property
    def budget(self) -> RetryBudget | None:
        """What bounds its retries."""
        return self._budget

    def add_listener(self, listener: Callable[[RetryScheduled | RetriesStopped], object]) -> None:
        """Call `listener` with each `RetryScheduled` and `RetriesStopped`, before the call goes on.

        A listener that raises is logged and harms nothing.

        Raises:
            TypeError: if it can't be called, or would have to be awaited.
        """
        plain_function("listener", listener)
        self._listeners = (*self._listeners, listener)

    # ---- what pipelines use ----

    def _on_call(self) -> None:
        if self._budget is not None:
            self._budget.on_call()

    def _matches(self, error: BaseException) -> bool:
        """Whether `error` is one to retry. Rejections have to be named, for `Exception` doesn't mean them."""
        if isinstance(error, _FINAL):
            return False
        if not isinstance(self._on, (type, tuple)):
            return holds(self._on, error)
        if isinstance(error, RejectedError):
            named = self._on if isinstance(self._on, tuple) else (self._on,)
            return any(issubclass(kind, ResilienceError) and isinstance(error, kind) for kind in named)
        return isinstance(error, self._on)

    def _next(self, state: _core.RetryState, error: BaseException, time_left: float | None) -> float | None:
        """Seconds to wait before the next attempt after `error`; ``None`` when it is the last word."""
        if not self._matches(error):
            return None
        attempt = state.attempt
        asked = retry_after(error, self._clock.time()) if self._honor_retry_after else None
        answer = self._machine.after_failure(state, asked or 0.0, wait_limit(time_left, remaining()))
        if isinstance(answer, str):
            _log.warning("%s: gave up after attempt %d (%s): %r", self.name, attempt, answer, error)
            self._tell(
                RetriesStopped(
                    name=self.name, timestamp=self._clock.time(), attempts=attempt, error=error, reason=answer
                )
            )
            return None
        _log.info("%s: attempt %d failed, the next in %.3f s: %r", self.name, attempt, answer, error)
        self._tell(
            RetryScheduled(
                name=self.name, timestamp=self._clock.time(), attempt=attempt, error=error, wait=answer
            )
        )
        return float(answer)

    def _tell(self, event: RetryScheduled | RetriesStopped) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener's mistake is not the call's
                _log.exception("%s: a listener failed", self.name)


def retry(
    *,
    on: Errors | Callable[[BaseException], bool],
    attempts: int = 3,
    wait_initial: float = 0.1,
    wait_max: float = 5.0,
    wait_exp_base: float = 2.0,
    jitter: Literal["full", "equal", "decorrelated", "none"] = "full",
    budget: RetryBudget | None = _OWN_BUDGET,
    honor_retry_after: bool = True,
    seed: int | None = None,
    name: str | None = None,
    clock: Clock | None = None,
) -> Retry:
    """Make a call again when it fails with one of the errors in `on`.

    The wait before attempt n + 1 is at most ``min(wait_max, wait_initial * wait_exp_base ** (n - 1))`` seconds,
    spread by `jitter` (M. Brooker, "Exponential Backoff And Jitter", 2015). The last error is raised as it is; what
    happened before is told to listeners and logged to ``resilience.retry``. A stream is only made again while it has
    not given its first item. Cancellation and the end of the program are never retried, and the library's own
    rejections only when `on` names them.

    Args:
        on: an exception class, a tuple of them, or a predicate of the exception.
        attempts: calls in all, >= 1.
        wait_initial: seconds in [0, 31536000].
        wait_max: seconds in [0, 31536000].
        wait_exp_base: >= 1.
        jitter: ``"full"`` (anything below), ``"equal"`` (the upper half), ``"decorrelated"`` (up to three times the
            last wait) or ``"none"``.
        budget: bounds retries over all calls; by default one of the policy's own, ``None`` for no bound.
        honor_retry_after: wait at least as long as the error asks (``retry_after``, or the headers
            ``retry-after-ms`` and ``retry-after``), and give up when that is longer than the deadline allows, or
            than two minutes without one.
        seed: makes the jitter repeatable.
        name: shown in events and logs.
        clock: where waits are measured.

    Returns:
        A decorator with ``call`` and ``call_sync``; also a member of a `Pipeline`.

    Raises:
        TypeError: if `on` is not what it should be.
        ValueError: if an argument is out of range.
    """
    return Retry(
        on=on,
        attempts=attempts,
        wait_initial=wait_initial,
        wait_max=wait_max,
        wait_exp_base=wait_exp_base,
        jitter=jitter,
        budget=budget,
        honor_retry_after=honor_retry_after,
        seed=seed,
        name=name,
        clock=clock,
    )
