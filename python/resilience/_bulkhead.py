"""At most so many calls at once."""

from resilience import _core
from resilience._checks import seconds_or_none, whole
from resilience._core import Clock
from resilience._places import PlacePolicy, Ticket
from resilience._priority import current_priority


class Bulkhead(PlacePolicy[_core.Bulkhead]):
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
        super().__init__(max_wait=seconds_or_none("max_wait", max_wait), name=name, clock=clock)
        self._machine = _core.Bulkhead(
            max_concurrent=whole("max_concurrent", max_concurrent),
            max_waiting=whole("max_waiting", max_waiting),
        )
        self._compile(bulkhead=self)

    @property
    def max_concurrent(self) -> int:
        """Calls that may run at once."""
        return self._machine.max_concurrent

    def resize(self, max_concurrent: int, *, max_waiting: int | None = None) -> None:
        """Change the limits while running; calls above a smaller limit finish, waiters that fit in now start.

        Args:
            max_concurrent: calls that may run at once, >= 1.
            max_waiting: calls that may wait for a place, >= 0; ``None`` leaves it.

        Raises:
            TypeError: if a number is not a whole one.
            ValueError: if a number is out of range; nothing has changed then.
        """
        room = None if max_waiting is None else whole("max_waiting", max_waiting)
        self._serve_all(
            self._machine.resize(max_concurrent=whole("max_concurrent", max_concurrent), max_waiting=room)
        )

    def _enqueue(self) -> Ticket | None:
        ticket: Ticket | None = self._machine.enqueue(current_priority())
        return ticket

    def _admit(self) -> None:
        if self._machine.in_flight < self._machine.max_concurrent:
            self._serve_all(self._machine.resize())

    def _pass_on(self) -> None:
        self._serve(self._machine.release())

    def _serve_all(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self._serve(ticket)

    def _serve(self, ticket: Ticket | None) -> None:
        """Wake the waiter that holds a place now; pass the place on when its loop has gone."""
        while ticket is not None and not self._tell(ticket, given=True):
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
