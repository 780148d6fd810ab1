"""Invalidations that Redis did not take while it was away.

What they were to remove is still there when it comes back, so it has to be told before it is believed again.
"""

from typing import Any

_MOST = 1_000  # above it all is invalidated: what is sent before the next operation must fit into its timeout
EVERYTHING = "c"


class UnsentInvalidations:
    """What is still to be invalidated: names as ``v:<key>``, ``t:<tag>``, or ``c`` for everything.

    Bounded: more than fits becomes ``c``. An invalidation that comes again while it is being sent is kept.
    """

    __slots__ = ("_serial", "_since")

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._since)

    def add(self, *names: str) -> None:
        """Remember what was not sent."""
        if EVERYTHING in names or len(self._since) + len(names) > _MOST:
            self._since.clear()
            names = (EVERYTHING,)
        for name in names:
            self._serial += 1
            self._since[name] = self._serial

    def pending(self) -> dict[str, int]:
        """Return what is to be sent now, for `sent`."""
        return dict(self._since)

    def sent(self, pending: dict[str, int]) -> None:
        """Forget what has been sent."""
        for name, serial in pending.items():
            if self._since.get(name) == serial:
                del self._since[name]


def queue_invalidation(pipe: Any, root: str, name: str) -> None:
    """Add to a redis-py pipeline what invalidates `name` under `root`."""
    if name.startswith("v:"):
        generation = f"{root}:g:{name[2:]}"
        pipe.incr(generation)
        pipe.pexpire(generation, 3_600_000)
        pipe.delete(f"{root}:{name}")
    else:  # a tag's version, or the cache's generation
        pipe.incr(f"{root}:{name}")
