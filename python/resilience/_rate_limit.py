"""At most so many calls in a time."""

from collections.abc import Callable
from typing import Any

from resilience import _core
from resilience._checks import number, plain_function_or_none, seconds, whole
from resilience._core import Clock
from resilience._policy import Policy
from resilience._priority import current_priority
from resilience._signals import Signal, ThreadSignal
from resilience._waiting import Rules, Wait, coroutine_signal, wait_async, wait_sync
from resilience.errors import RateLimitedError

_Ticket = tuple[int, int]
_Key = str | None


class RateLimit(Policy):
    """At most `rate` calls every `per` seconds; made by `rate_limit`, which documents it."""

    _kind = "rate_limit"

    def __init__(
        self,
        rate: float,
        per: float = 1.0,
        *,
        burst: float | None = None,
        key: Callable[..., Any] | None = None,
        max_wait: float = 0.0,
        max_keys: int = 10_000,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        plain_function_or_none("key", key)
        most_keys = whole("max_keys", max_keys)
        if most_keys < 1:
            raise ValueError(f"max_keys must be an integer >= 1, got {max_keys}")
        self._key = key
        self._max_wait = seconds("max_wait", max_wait, zero=True)
        self._machine = _core.RateLimiter(
            rate=number("rate", rate),
            per=number("per", per),
            burst=max(1.0, number("rate", rate)) if burst is None else number("burst", burst),
            max_keys=most_keys,
            clock=self._clock,
        )
        self._waiters: dict[tuple[_Key, _Ticket], Signal] = {}
        self._compile(rate_limit=self)

    def reconfigure(self, rate: float, per: float = 1.0, *, burst: float | None = None) -> None:
        """Change the rate while running; what has been used stays used.

        Args:
            rate: calls, > 0.
            per: seconds in (0, 31536000].
            burst: calls that may come at once, >= 1; by default ``max(1, rate)``.

        Raises:
            TypeError: if an argument is not a number.
            ValueError: if a number is out of range; nothing has changed then.
        """
        calls = number("rate", rate)
        allowed = max(1.0, calls) if burst is None else number("burst", burst)
        self._machine.reconfigure(calls, number("per", per), allowed)

    # ---- what native calls and slow paths use ----

    def _key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        assert self._key is not None  # noqa: S101 # asked only where there is one
        key = self._key(*args, **kwargs)
        text = key if isinstance(key, str) else f"\0{type(key).__qualname__}:{key!r}"
        return text if text.isascii() or _is_utf8(text) else f"\0{text!a}"

    def _wait(self, key: _Key) -> Any:
        """Coroutine that returns once admitted; called when the rate was used up."""
        return wait_async(self._take_turn(key, coroutine_signal), self._clock)

    def _wait_sync(self, key: _Key) -> None:
        wait_sync(self._take_turn(key, ThreadSignal), self._clock)

    def _take_turn(self, key: _Key, new_signal: Callable[[], Signal]) -> Rules[None]:
        """Queue up; whoever is in front waits for the rate, the others to be in front."""
        ticket = None
        if self._max_wait > 0.0:
            ticket = self._machine.enqueue(key, self._max_wait, current_priority())
        if ticket is None:
            raise RateLimitedError(self._machine.wait(key), name=self.name)
        deadline = self._clock.now() + self._max_wait
        try:
            while (due := self._machine.poll(key, ticket)) != 0.0:
                left = deadline - self._clock.now()
                if left <= 0.0:
                    raise RateLimitedError(self._machine.wait(key), name=self.name)
                signal = self._waiters[key, ticket] = new_signal()
                yield Wait(signal, left if due < 0.0 else min(left, due))
        finally:
            self._waiters.pop((key, ticket), None)
            self._wake_head(key, self._machine.leave(key, ticket))

    def _wake_head(self, key: _Key, head: _Ticket | None) -> None:
        """The next in the queue looks again; one whose loop has gone is passed over."""
        while head is not None:
            signal = self._waiters.get((key, head))
            if signal is None or signal.set(True):
                return
            del self._waiters[key, head]
            head = self._machine.leave(key, head)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character: what comes from outside may hold one
        return False
    return True


def rate_limit(
    rate: float,
    per: float = 1.0,
    *,
    burst: float | None = None,
    key: Callable[..., Any] | None = None,
    max_wait: float = 0.0,
    max_keys: int = 10_000,
    name: str | None = None,
    clock: Clock | None = None,
) -> RateLimit:
    """Admit at most `rate` calls every `per` seconds (GCRA), over everything that shares the object.

    Args:
        rate: calls, > 0.
        per: seconds in (0, 31536000].
        burst: calls that may come at once, >= 1; by default ``max(1, rate)``.
        key: a function of the call's arguments; each of its results has a rate of its own.
        max_wait: seconds >= 0 a call may wait for its turn, by `priority` and then in order of arrival; one that
            would have to wait longer is rejected at once.
        max_keys: keys remembered at most, >= 1; idle ones go first.
        name: shown in errors and metrics.
        clock: where the rate is measured.

    Returns:
        A decorator with ``call`` and ``call_sync``; also a member of a `Pipeline`.

    Raises:
        ValueError: if an argument is out of range.
        RateLimitedError: from calls over the rate, with ``retry_after``.
    """
    return RateLimit(
        rate, per, burst=burst, key=key, max_wait=max_wait, max_keys=max_keys, name=name, clock=clock
    )
