"""The instant by which the running code must be done, and the table of named timeouts."""

import asyncio
import weakref
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from resilience import _core
from resilience._checks import clock_or_none, seconds as checked_seconds, text
from resilience._core import Clock
from resilience._waiting import SYSTEM_CLOCK
from resilience.errors import CallTimeoutError


class _Deadline(NamedTuple):
    at: float
    clock: Clock
    task: "weakref.ref[asyncio.Task[Any]] | None"  # the one that it ends, when a timer of its own does that


_SOONEST = 1e-9  # seconds, for a block inside of a deadline that has passed


def _this_task() -> "weakref.ref[asyncio.Task[Any]] | None":
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else weakref.ref(task)


_current: ContextVar[_Deadline | None] = ContextVar("resilience_deadline", default=None)


def remaining() -> float | None:
    """Seconds until the nearest `deadline` or `timeout` around the running code, 0.0 once it has passed.

    A timeout is known to the code that its call awaits; a deadline also to the tasks started inside it.

    Returns:
        ``None`` outside of any.
    """
    innermost = _current.get()
    of_calls = _core.running_time_left()
    if innermost is None:
        return of_calls
    left = max(0.0, innermost.at - innermost.clock.now())
    return left if of_calls is None else min(left, of_calls)


def forget_deadline() -> None:
    """Leave the deadline around the code that started this task: others wait for it, too."""
    _current.set(None)


def deadline_headers(name: str = "X-Request-Timeout-Ms") -> dict[str, str]:
    """Headers that tell an HTTP upstream how many milliseconds its caller will still wait.

    Args:
        name: the header's name.

    Returns:
        One header, or none outside of any deadline.
    """
    left = remaining()
    return {} if left is None else {name: str(int(left * 1000.0))}


class deadline:  # noqa: N801 # a context manager reads as a verb
    """Bounds everything inside an ``async with`` block: ``async with deadline(2.0): ...``.

    Nested deadlines and timeouts never outlive it, retries don't wait beyond it, tasks started inside know it
    (`remaining`), and `deadline_headers` carries it to upstreams.

    Args:
        seconds: time from entering the block, in (0, 31536000].
        clock: where it is measured.

    Raises:
        ValueError: if `seconds` is out of range.
        CallTimeoutError: at the end of a block that was cut off.
    """

    def __init__(self, seconds: float, *, clock: Clock | None = None) -> None:
        self._seconds = checked_seconds("seconds", seconds)
        self._clock: Clock = clock_or_none(clock) or SYSTEM_CLOCK
        self._scope: _core.TimeoutScope | None = None
        self._token: Token[_Deadline | None] | None = None

    async def __aenter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError("a deadline can be entered once; make a new one for each block")
        outer = _current.get()
        now = self._clock.now()
        at, task = now + self._seconds, _this_task()
        if outer is not None and outer.clock is self._clock and outer.at < at:
            at, self._seconds = outer.at, max(_SOONEST, outer.at - now)
        if outer is None or outer.at > at or outer.clock is not self._clock or outer.task != task:
            # none around it ends this block in time: an outer one ends its own task, not those started inside
            self._scope = _core.TimeoutQueue(self._seconds, self._clock).arm()
        self._token = _current.set(_Deadline(at, self._clock, task))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        expired = self._scope is not None and self._scope.finish()
        if expired and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise CallTimeoutError("deadline", self._seconds) from error


class Timeouts:
    """The central table of named timeouts, in seconds, loaded by `configure`.

    Names are dotted; a name that isn't listed takes the value of its nearest listed ancestor: ``"llm.openai"`` falls
    back to ``"llm"`` and then to ``"default"``.
    """

    _table: ClassVar[dict[str, float]] = {}

    @classmethod
    def get(cls, name: str, default: float | None = None) -> float:
        """The timeout of `name` in seconds.

        Raises:
            KeyError: if neither it, nor an ancestor, nor a `default` is there.
            TypeError: if `name` is no string.
        """
        for candidate in cls._lineage(text("name", name)):
            if candidate in cls._table:
                return cls._table[candidate]
        if default is None:
            raise KeyError(f"no timeout is configured for {name!r}")
        return default

    @classmethod
    def load(cls, table: Mapping[str, float]) -> None:
        """Replace the whole table at once.

        Raises:
            ValueError: if a value is out of (0, 31536000]; the table is unchanged then.
            TypeError: if a name is no string or a value no number; likewise.
        """
        cls._table = {text("name", name): checked_seconds(name, value) for name, value in table.items()}

    @classmethod
    def table(cls) -> dict[str, float]:
        """A copy of the table."""
        return dict(cls._table)

    @staticmethod
    def _lineage(name: str) -> Iterator[str]:
        while name:
            yield name
            name = name.rpartition(".")[0]
        yield "default"


def wait_limit(*limits: float | None) -> float | None:
    """The smallest of several times left; ``None`` when there is none."""
    given: list[Any] = [limit for limit in limits if limit is not None]
    return min(given) if given else None
