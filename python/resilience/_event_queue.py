"""Delivering events to listeners: in order, once, and without ever waiting for another thread.

Whoever adds an event delivers it, unless somebody is delivering already: that one goes on until the queue is empty.
So a listener may cause events itself, and no lock is held that a listener, a finalizer or a fork could block on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from resilience import _fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilience.events import Event

_log = logging.getLogger("resilience")


class EventQueue:
    """Events on their way to the listeners of one policy."""

    __slots__ = ("_delivering", "_events", "_forks")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._delivering = threading.Lock()
        self._forks = _fork.forks

    def _begin(self) -> bool:
        if self._forks != _fork.forks:  # whoever was delivering stayed behind in the parent
            self._forks = _fork.forks
            self._delivering = threading.Lock()
        return self._delivering.acquire(blocking=False)

    def deliver(self, event: Event, listeners: Callable[[], Sequence[Callable[[Event], object]]]) -> None:
        """Add an event and see to it that the queue gets empty."""
        self._events.append(event)
        while self._events and self._begin():
            try:
                while self._events:
                    self._tell(self._events.popleft(), listeners())
            finally:
                self._delivering.release()

    @staticmethod
    def _tell(event: Event, listeners: Sequence[Callable[[Event], object]]) -> None:
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - whatever it is, it is logged and the others are told
                _log.exception("a listener of %r failed on %s", event.name, event)
