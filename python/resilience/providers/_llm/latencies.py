"""How fast a provider has been lately."""

from typing import Literal

Purpose = Literal["chat", "stream", "embed"]
_NEWEST = 0.2  # weight of the newest in the mean
_UNSEEN = 0.0
_NEVER = float("inf")


class Latencies:
    """Mean seconds of the latest answers, apart by purpose: a first piece is no whole answer."""

    def __init__(self) -> None:
        self._means: dict[Purpose, float] = {}

    def took(self, purpose: Purpose, seconds: float) -> None:
        """Note an answer; of a stream, its first piece."""
        mean = self._means.get(purpose, _NEVER)
        self._means[purpose] = seconds if mean == _NEVER else mean + _NEWEST * (seconds - mean)

    def failed(self, purpose: Purpose) -> None:
        """Note a failure: who has only ever failed is slower than everybody."""
        self._means.setdefault(purpose, _NEVER)

    def rank(self, purpose: Purpose) -> float:
        """What to sort by: those who were never asked come first, for how else would one know."""
        return self._means.get(purpose, _UNSEEN)

    def report(self) -> dict[str, float]:
        """The means that are known."""
        return {purpose: mean for purpose, mean in self._means.items() if mean != _NEVER}
