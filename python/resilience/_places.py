"""Policies whose calls hold a place while they run, and may wait for one."""

from typing import Any, Generic, Protocol, TypeVar

from resilience._core import Clock
from resilience._policy import Policy
from resilience._waiting import Rules, Signal, ThreadSignal, Wait, coroutine_signal, wait_async, wait_sync
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
        self._waiters: dict[Ticket, Signal] = {}

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
        self._waiters[ticket] = signal
        try:
            yield Wait(signal, self._max_wait)
        except BaseException:
            if self._give_up(ticket, signal):
                self._pass_on()
            raise
        if not self._give_up(ticket, signal):
            raise BulkheadFullError(self.name)

    def _give_up(self, ticket: Ticket, signal: Signal) -> bool:
        """Stop waiting; true when a place has been given meanwhile."""
        self._waiters.pop(ticket, None)
        return not self._machine.leave(ticket) and signal.value is True
