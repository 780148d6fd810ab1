"""Policies whose calls hold a place while they run, and may wait for one."""

from typing import Any, Generic, Protocol, TypeVar, cast

from resilience._core import Clock
from resilience._policy import Policy
from resilience._signals import Signal, ThreadSignal
from resilience._waiting import Rules, Wait, coroutine_signal, wait_async, wait_sync
from resilience.errors import BulkheadFullError

Ticket = tuple[int, int]


class _Machine(Protocol):
    """What is asked of the state machine that gives the places."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    def leave(self, ticket: Ticket) -> bool:
        """Take a waiter out of the queue; false when it isn't there any more."""


# What a waiter is told, and that it listens no more.
_GIVEN, _REFUSED, _GONE = "given", "refused", "gone"


class _Turn:
    """What becomes of one waiter, whose thread and that of who serves it may come in any order.

    Each appends what it does and acts on what was done before it: a list's order is the same for all threads.
    """

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: list[object] = []

    def wait(self, signal: Signal) -> None:
        """Let `signal` wake the waiter, at once if it has been told already."""
        for told in self._before(signal):
            signal.set(told is _GIVEN)

    def tell(self, outcome: object) -> bool:
        """Tell the waiter that a place is given to it or refused; false when it is gone."""
        for event in self._before(outcome):
            return event is not _GONE and cast("Signal", event).set(outcome is _GIVEN)
        return True  # it finds it when it begins to wait

    def leave(self) -> object:
        """End the wait; returns what the waiter was told, ``None`` if that comes too late."""
        told = [event for event in self._before(_GONE) if event is _GIVEN or event is _REFUSED]
        return told[0] if told else None

    def _before(self, event: object) -> list[object]:
        self._events.append(event)
        events = self._events[:]
        return events[: events.index(event)][::-1]  # the newest first


MachineT = TypeVar("MachineT", bound=_Machine)


class PlacePolicy(Policy, Generic[MachineT]):
    """The waiting for a place; what a place is, and who gets it next, is the machine's.

    Args:
        max_wait: seconds that a call may wait; ``None`` for ever.
        name: of the policy.
        clock: where waits are measured.
    """

    _machine: MachineT

    def __init__(self, *, max_wait: float | None, name: str | None, clock: Clock | None) -> None:
        super().__init__(name=name, clock=clock)
        self._max_wait = max_wait
        self._turns: dict[Ticket, _Turn] = {}

    @property
    def in_flight(self) -> int:
        """Calls that hold a place now."""
        return self._machine.in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a place now."""
        return self._machine.waiting

    def _enqueue(self) -> Ticket | None:
        """Queue up a call; ``None`` when there is no room to wait."""
        raise NotImplementedError

    def _admit(self) -> None:
        """Give the places that are free to those who wait."""
        raise NotImplementedError

    def _pass_on(self) -> None:
        """Give up a place that was given and not used."""
        raise NotImplementedError

    # ---- what native calls and slow paths use ----

    def _wait(self) -> Any:
        """Coroutine that returns with a place; called when there was none to be had at once."""
        return wait_async(self._join(coroutine_signal()), self._clock)

    def _wait_sync(self) -> None:
        wait_sync(self._join(ThreadSignal()), self._clock)

    def _join(self, signal: Signal) -> Rules[None]:
        ticket = self._enqueue()
        if ticket is None:
            raise BulkheadFullError(self.name)
        self._turns.setdefault(ticket, _Turn()).wait(signal)
        try:
            self._admit()  # a place that was given back just before the call queued up waits for nobody else
            yield Wait(signal, self._max_wait)
        except BaseException:
            if self._give_up(ticket):
                self._pass_on()
            raise
        if not self._give_up(ticket):
            raise BulkheadFullError(self.name)

    def _tell(self, ticket: Ticket, *, given: bool) -> bool:
        """Tell a waiter what has become of it; false when it isn't there any more."""
        told = self._turns.setdefault(ticket, _Turn()).tell(_GIVEN if given else _REFUSED)
        if not told:
            self._turns.pop(ticket, None)
        return told

    def _give_up(self, ticket: Ticket) -> bool:
        """Stop waiting; true when a place has been given meanwhile."""
        if self._machine.leave(ticket):
            self._turns.pop(ticket, None)
            return False
        told = self._turns.setdefault(ticket, _Turn()).leave()
        if told is not None:
            self._turns.pop(ticket, None)
        return told is _GIVEN
