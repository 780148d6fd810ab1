"""How a circuit breaker tells of itself: the log, its listeners and the events they get.

The events' classes are imported with the first listener: making them takes a fifth of what a first breaker does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from resilience import _core
from resilience._checks import plain_function
from resilience._event_queue import EventQueue
from resilience._types import STATES, State

if TYPE_CHECKING:
    from resilience.events import Event

_log = logging.getLogger("resilience.circuit_breaker")
Listener = Callable[["Event"], object]
_BY_HAND = frozenset({State.FORCED_OPEN, State.DISABLED, State.METRICS_ONLY})


class TellingBreaker(_core.CircuitBreakerBase):
    """The native breaker with listeners; the core calls ``_tell`` and ``_tell_change``."""

    __slots__ = ("_events", "_kinds", "_listeners", "_name", "_reason")

    _events: EventQueue | None  # from the first listener on
    _kinds: SimpleNamespace  # the events' classes; the interpreter empties modules before the last calls end
    _listeners: tuple[Listener, ...]
    _name: str
    _reason: str | None  # what an operator gave

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event, before the call that caused it returns.

        An exception of a listener is logged and harms nothing. Listeners may call the breaker: what follows
        from that is told after the present event has reached everybody.

        Returns:
            a function that removes the listener.
        """
        plain_function("listener", listener)
        if self._events is None:
            from resilience import events

            self._kinds = SimpleNamespace(**vars(events))
            self._events = EventQueue()
        self._listeners = (*self._listeners, listener)
        self._listen(on=True)

        def remove() -> None:
            left = list(self._listeners)
            if listener in left:
                left.remove(listener)
            self._listeners = tuple(left)
            self._listen(on=bool(left))

        return remove

    def _tell_change(self, old: int, new: int) -> None:
        """Log and announce a transition; called by the core."""
        if STATES[new] not in _BY_HAND:
            self._reason = None
        reason = self._reason
        level = logging.WARNING if STATES[new] in {State.OPEN, State.FORCED_OPEN} else logging.INFO
        _log.log(
            level,
            "circuit breaker %r: %s -> %s%s",
            self._name,
            STATES[old].value,
            STATES[new].value,
            f" ({reason})" if reason else "",
        )
        if self._events is not None:
            change = self._kinds.StateChanged
            now = self._unix_time()
            self._emit(
                change(name=self._name, timestamp=now, old=STATES[old], new=STATES[new], reason=reason)
            )

    def _tell(self, kind: str, duration: float, error: Any) -> None:
        """Announce an outcome; called by the core while somebody listens."""
        name, now, kinds = self._name, self._unix_time(), self._kinds
        event: Event
        if kind == "succeeded":
            event = kinds.CallSucceeded(name=name, timestamp=now, duration=duration)
        elif kind == "failed":
            event = kinds.CallFailed(name=name, timestamp=now, duration=duration, error=error)
        elif kind == "rejected":
            event = kinds.CallRejected(name=name, timestamp=now, retry_after=error.retry_after)
        elif kind == "slow":
            event = kinds.SlowCall(name=name, timestamp=now, duration=duration)
        else:
            event = kinds.CallIgnored(name=name, timestamp=now, duration=duration, error=error)
        self._emit(event)

    def _emit(self, event: Event) -> None:
        if self._events is not None:
            self._events.deliver(event, lambda: self._listeners)

    def _tell_reset(self) -> None:
        if self._events is not None:
            self._emit(self._kinds.Reset(name=self._name, timestamp=self._unix_time()))
