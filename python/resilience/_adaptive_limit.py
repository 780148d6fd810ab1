"""A concurrency limit that finds its own level."""

from typing import Literal

from resilience import _core
from resilience._checks import number, text, whole
from resilience._core import Clock
from resilience._places import PlacePolicy, Ticket
from resilience._priority import current_priority
from resilience._retry_after import attribute

_OVERLOADED = frozenset({429, 503, 529})


class AdaptiveLimit(PlacePolicy[_core.AdaptiveLimit]):
    """A concurrency limit that follows latency and drops; made by `adaptive_limit`, which documents it."""

    _kind = "adaptive_limit"

    def __init__(
        self,
        *,
        initial: int = 20,
        min: int = 1,  # noqa: A002 # its public name
        max: int = 1000,  # noqa: A002 # its public name
        algorithm: Literal["gradient2", "vegas", "aimd"] = "gradient2",
        max_waiting: int = 0,
        target_wait: float = 0.005,
        wait_interval: float = 0.1,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(max_wait=number("wait_interval", wait_interval), name=name, clock=clock)
        self._machine = _core.AdaptiveLimit(
            initial=whole("initial", initial),
            least=whole("min", min),
            most=whole("max", max),
            algorithm=text("algorithm", algorithm),
            max_waiting=whole("max_waiting", max_waiting),
            target_wait=number("target_wait", target_wait),
            wait_interval=number("wait_interval", wait_interval),
            clock=self._clock,
        )
        self._compile(adaptive_limit=self)

    @property
    def limit(self) -> int:
        """Calls that may run at once, as estimated now."""
        return self._machine.limit

    @property
    def max_limit(self) -> int:
        """The most that the estimate may come to."""
        return self._machine.most

    def resize(self, *, min: int | None = None, max: int | None = None) -> None:  # noqa: A002 # as above
        """Change the bounds while running; the estimate moves between them, and waiters that fit in now start.

        Args:
            min: the least limit, >= 1; ``None`` leaves it.
            max: the greatest limit, >= `min`; ``None`` leaves it.

        Raises:
            TypeError: if a number is not a whole one.
            ValueError: if a number is out of range; nothing has changed then.
        """
        least = None if min is None else whole("min", min)
        most = None if max is None else whole("max", max)
        self._wake(*self._machine.resize(least=least, most=most))

    # ---- what slow paths and streams use ----

    @staticmethod
    def _is_drop(error: BaseException) -> bool:
        """Time-outs and overload answers are drops; other errors say nothing about concurrency."""
        statuses = (
            attribute(error, "status_code"),
            attribute(error, "status"),
            attribute(attribute(error, "response"), "status_code"),
        )
        return isinstance(error, TimeoutError) or any(
            isinstance(status, int) and status in _OVERLOADED for status in statuses
        )

    def _enqueue(self) -> Ticket | None:
        ticket: Ticket | None
        ticket, shed = self._machine.enqueue(current_priority())
        if shed is not None:
            self._wake([], [shed])
        return ticket

    def _finish(self, started: float, error: BaseException | None, *, released: bool) -> None:
        """A stream that was admitted at `started` has ended."""
        outcome = "success"
        if released or error is not None:
            dropped = isinstance(error, Exception) and self._is_drop(error)
            outcome = "dropped" if dropped else "ignored"
        self._wake(*self._machine.release(started, outcome))

    def _admit(self) -> None:
        if self._machine.in_flight < self._machine.limit:
            self.resize()

    def _pass_on(self) -> None:
        self._wake(*self._machine.release(self._clock.now(), "ignored"))

    def _wake(self, served: list[Ticket], shed: list[Ticket]) -> None:
        for ticket in shed:
            self._tell(ticket, given=False)
        for ticket in served:
            if not self._tell(ticket, given=True):
                self._pass_on()


def adaptive_limit(
    *,
    initial: int = 20,
    min: int = 1,  # noqa: A002 # its public name
    max: int = 1000,  # noqa: A002 # its public name
    algorithm: Literal["gradient2", "vegas", "aimd"] = "gradient2",
    max_waiting: int = 0,
    target_wait: float = 0.005,
    wait_interval: float = 0.1,
    name: str | None = None,
    clock: Clock | None = None,
) -> AdaptiveLimit:
    """Limit concurrency to what the callee can take, learned from latencies, time-outs and overload answers.

    Successes are samples of latency; time-outs (``TimeoutError``) and the statuses 429, 503 and 529 are drops; other
    errors and cancellations only give their place back. The limit grows only while at least half of it is in use.
    Estimators after Netflix's concurrency-limits; the queue after CoDel.

    Args:
        initial: the limit at the start, between `min` and `max`.
        min: the least limit, >= 1.
        max: the greatest limit, >= `min`.
        algorithm: ``"gradient2"`` (long-term against latest latency), ``"vegas"`` (estimated queue length) or
            ``"aimd"`` (one more a success, a tenth less a drop).
        max_waiting: calls that may wait for a place, >= 0; a full queue gives way to a higher `priority`.
        target_wait: seconds > 0 that a call is kept while the queue has not been empty for `wait_interval`.
        wait_interval: seconds >= `target_wait` that a call is kept otherwise.
        name: shown in errors and metrics.
        clock: where latencies and waits are measured.

    Returns:
        A decorator with ``call`` and ``call_sync``; also a member of a `Pipeline`.

    Raises:
        ValueError: if an argument is out of range.
        BulkheadFullError: from calls over the limit.
    """
    return AdaptiveLimit(
        initial=initial,
        min=min,
        max=max,
        algorithm=algorithm,
        max_waiting=max_waiting,
        target_wait=target_wait,
        wait_interval=wait_interval,
        name=name,
        clock=clock,
    )
