"""Calls that take too long."""

from resilience import _core
from resilience._checks import seconds_or_none
from resilience._core import Clock
from resilience._policy import Policy


class Timeout(Policy):
    """Ends calls that take too long; made by `timeout`, which documents it."""

    _kind = "timeout"

    def __init__(
        self,
        seconds: float | None = None,
        *,
        first_item: float | None = None,
        idle: float | None = None,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self.seconds = seconds_or_none("seconds", seconds)
        self.first_item = seconds_or_none("first_item", first_item)
        self.idle = seconds_or_none("idle", idle)
        if self.seconds is None and self.first_item is None and self.idle is None:
            raise ValueError("one of seconds, first_item and idle must be given")
        self._machine = None if self.seconds is None else _core.TimeoutQueue(self.seconds, self._clock)
        self._for_first_item = self._part(self.first_item)
        self._for_item = self._part(self.idle)
        self._compile(timeout=self)

    def _part(self, seconds: float | None) -> "Timeout | None":
        """The timeout of one item of a stream, as a policy of its own."""
        if seconds is None:
            return None
        return Timeout(seconds, name=self._name, clock=self._clock)

    @property
    def only_streams(self) -> bool:
        """Whether it says nothing about calls that aren't streams."""
        return self.seconds is None


def timeout(
    seconds: float | None = None,
    *,
    first_item: float | None = None,
    idle: float | None = None,
    name: str | None = None,
    clock: Clock | None = None,
) -> Timeout:
    """End a call that takes longer than `seconds` with `CallTimeoutError`.

    The call is cancelled; a cancellation from outside stays one. A call that never suspends arms no timer. Needs
    asyncio. Plain functions can't be interrupted: decorating one raises ``TypeError``.

    Args:
        seconds: for the whole call or stream, in (0, 31536000].
        first_item: for the first item of an async generator.
        idle: for each further item of an async generator.
        name: shown in the error.
        clock: where time is measured.

    Returns:
        A decorator with ``call``; also a member of a `Pipeline`.

    Raises:
        ValueError: if an argument is out of range, or all are missing.
        CallTimeoutError: from calls that take too long.
    """
    return Timeout(seconds, first_item=first_item, idle=idle, name=name, clock=clock)
