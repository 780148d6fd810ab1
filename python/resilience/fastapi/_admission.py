"""Admission: refusing at the door what the service could not finish in time anyway.

A refused request costs microseconds; one that is admitted and times out costs everything it touched. What
may be shed goes first: sheddable requests from half of the limit on and while the event loop lags, normal
ones at the limit, critical ones at one and a half times the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from resilience.fastapi._endpoints import Priority

DEFAULT_MAX_ACTIVE = 1_000
DEFAULT_MAX_LAG = 0.5
_LAG_AGE = 0.05

_SHARE = {Priority.SHEDDABLE: 0.5, Priority.NORMAL: 1.0, Priority.CRITICAL: 1.5}


@dataclass(slots=True)
class Admission:
    """Limits what is in progress at once.

    Attributes:
        max_active: Requests in progress beyond which normal ones are refused, at least 1; may be changed.
        max_lag: Seconds of event-loop lag at which sheddable requests are refused; normal ones at twice that.
        lag: Returns the present lag in seconds; None watches no lag.
    """

    max_active: int = DEFAULT_MAX_ACTIVE
    max_lag: float = DEFAULT_MAX_LAG
    lag: Callable[[], float] | None = None
    refused: int = 0
    _lag: float = 0.0
    _lag_read_at: float = float("-inf")

    def __post_init__(self) -> None:
        if self.max_active < 1:
            raise ValueError(f"max_active must be at least 1, got {self.max_active!r}")
        if not self.max_lag > 0:
            raise ValueError(f"max_lag must be above 0 seconds, got {self.max_lag!r}")

    def refuses(self, active: int, priority: Priority) -> bool:
        """Decide on one more request beside `active` others, and count a refusal."""
        if active < self.max_active * _SHARE[priority] and not self._lags(priority):
            return False
        self.refused += 1
        return True

    def _lags(self, priority: Priority) -> bool:
        if self.lag is None or priority is Priority.CRITICAL:
            return False
        now = monotonic()
        if now - self._lag_read_at > _LAG_AGE:  # the gauge measures ten times a second
            self._lag, self._lag_read_at = self.lag(), now
        return self._lag > self.max_lag * (1 + (priority is Priority.NORMAL))
