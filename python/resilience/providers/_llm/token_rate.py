"""Tokens a minute: a rate limit whose calls weigh more or less, and tell their weight only afterwards."""

from resilience._core import Clock

_MINUTE = 60.0


class TokenRate:
    """The generic cell rate algorithm of `rate_limit`, with weights.

    A call is admitted by an estimate, which `settle` corrects once the provider has said what it took: what was
    underestimated is paid back by later calls. One minute's tokens may come at once.

    Args:
        per_minute: tokens, > 0.
        clock: where the minute is measured.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._cost = _MINUTE / per_minute  # seconds a token
        self._clock = clock
        self._full_at = clock.now()  # when all tokens will be there again

    def take(self, tokens: int) -> float:
        """Take an estimate; returns 0.0, or the seconds after which it might be there, having taken nothing."""
        now = self._clock.now()
        after = max(now, self._full_at) + min(_MINUTE, tokens * self._cost)
        if after - now > _MINUTE + 1e-9:
            return after - now - _MINUTE
        self._full_at = after
        return 0.0

    def settle(self, estimated: int, used: int) -> None:
        """Replace an estimate that was taken by what was used."""
        self._full_at += used * self._cost - min(_MINUTE, estimated * self._cost)
