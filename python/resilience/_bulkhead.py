"""At most so many calls at once."""

from typing import Any

from resilience import _core
from resilience._checks import seconds_or_none, whole
from resilience._core import Clock
from resilience._policy import Policy
from resilience._waiting import (
    Rules,
    Signal,
    ThreadSignal,
    Wait,
    coroutine_signal,
    current_priority,
    wait_async,
    wait_sync,
)
from resilience.errors import BulkheadFullError

_Ticket = tuple[int, int]


class Bulkhead(Policy):
    """At most `max_concurrent` calls at once; made by `bulkhead`, which documents it."""

    _kind = "bulkhead"

    def __init__(
        self,
        max_concurrent: int,
        *,
        max_waiting: int = 0,
        max_wait: float | None = None,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._max_wait = seconds_or_none("max_wait", max_wait)
        self._machine = _core.Bulkhead(
            max_concurrent=whole("max_concurrent", max_concurrent),
            max_waiting=whole("max_waiting", max_waiting),
        )
        self._waiters: dict[_Ticket, Signal] = {}
        self._compile(bulkhead=self)

    @property
    def max_concurrent(self) -> int:
        """Calls that may run at once."""
        return self._machine.max_concurrent

    @property
    def in_flight(self) -> int:
        """Calls that hold a place now."""
        return self._machine.in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a place now."""
        return self._machine.waiting

    def resize(self, max_concurrent: int, *, max_waiting: int | None = None) -> None:
        """Change the limits while running; calls above a smaller limit finish, waiters that fit in now start.

        Raises:
            ValueError: if a number is out of range; nothing has changed then.
        """
        room = self._machine.max_waiting if max_waiting is None else whole("max_waiting", max_waiting)
        for ticket in self._machine.resize(whole("max_concurrent", max_concurrent), room):
            self._serve(ticket)

    # ---- what native calls and slow paths use ----

    def _wait(self) -> Any:
        """Coroutine that returns with a place; called when there was none to be had at once."""
        return wait_async(self._join(coroutine_signal()), self._clock)

    def _wait_sync(self) -> None:
        wait_sync(self._join(ThreadSignal()), self._clock)

    def _join(self, signal: Signal) -> Rules[None]:
        ticket = self._machine.enqueue(current_priority())
        if ticket is None:
            raise BulkheadFullError(self.name)
        self._waiters[ticket] = signal
        try:
            yield Wait(signal, self._max_wait)
        except BaseException:
            if self._give_up(ticket, signal):
                self._serve(self._machine.release())
            raise
        if not self._give_up(ticket, signal):
            raise BulkheadFullError(self.name)

    def _give_up(self, ticket: _Ticket, signal: Signal) -> bool:
        """Stop waiting; true when a place has been given meanwhile."""
        self._waiters.pop(ticket, None)
        return not self._machine.leave(ticket) and signal.value is True

    def _serve(self, ticket: _Ticket | None) -> None:
        """Wake the waiter that holds a place now; pass the place on when its loop has gone."""
        while ticket is not None and not self._waiters.pop(ticket).set(True):
            ticket = self._machine.release()


def bulkhead(
    max_concurrent: int,
    *,
    max_waiting: int = 0,
    max_wait: float | None = None,
    name: str | None = None,
    clock: Clock | None = None,
) -> Bulkhead:
    """Run at most `max_concurrent` calls at once, over all functions and pipelines that share the object.

    A call that finds no place waits in a queue, by `priority` and then in order of arrival, or is rejected.

    Args:
        max_concurrent: calls that may run at once, >= 1.
        max_waiting: calls that may wait for a place, >= 0; with 0 a call that finds none is rejected at once.
        max_wait: seconds > 0 that a call waits at most; ``None``: as long as it takes.
        name: shown in errors and metrics.
        clock: where `max_wait` is measured.

    Returns:
        A decorator with ``call`` and ``call_sync``; also a member of a `Pipeline`.

    Raises:
        ValueError: if an argument is out of range.
        BulkheadFullError: from calls that find no place.
    """
    return Bulkhead(max_concurrent, max_waiting=max_waiting, max_wait=max_wait, name=name, clock=clock)
