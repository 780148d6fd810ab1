"""One guarded exchange with an upstream, whatever client speaks to it: admitted, answered, ended.

A request passes the breaker and then takes a place; the status of its answer decides the outcome, and the call lasts
until its body has ended. Transports only say when these things happen.
"""

import asyncio
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import time
from typing import Any

from resilience._checks import clock_or_none
from resilience._circuit_breaker import CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._core import Clock
from resilience._deadline import deadline_headers
from resilience._retry_after import from_headers
from resilience._types import type_name
from resilience.connections._config import check_count
from resilience.connections._slots import Slots
from resilience.errors import ResilienceError

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_BUSY = frozenset({408, 425, 429})  # the server has no time for us, which is no mistake of the caller's


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    Attributes:
        method: in capitals.
        host: with the port when it isn't the scheme's own.
        path: without the query.
    """

    method: str
    host: str
    path: str


class UpstreamStatusError(ResilienceError):
    """An answer's status, as breakers count it; it is recorded, not raised, for the answer goes to the caller."""

    def __init__(self, status: int) -> None:
        super().__init__(status)

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return int(self.args[0])

    def __str__(self) -> str:
        return f"the upstream answered {self.status_code}"


Key = Callable[[Target], str]


def by_host(target: Target) -> str:
    """Guard each host by itself."""
    return target.host


def by_route(*patterns: str) -> Key:
    """Guard some routes of each host by themselves, and the rest of the host together.

    Args:
        *patterns: of paths, as ``"/v1/chat/*"``; the first that matches names the route.

    Raises:
        TypeError: for a pattern that is no string.
        ValueError: without a pattern, or for one that doesn't start with a slash.
    """
    if not patterns:
        raise ValueError("by_route needs at least one pattern")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"patterns must be strings, got {type_name(pattern)} {pattern!r}")
        if not pattern.startswith("/"):
            raise ValueError(f"patterns must start with '/', got {pattern!r}")

    def key(target: Target) -> str:
        for pattern in patterns:
            if fnmatchcase(target.path, pattern):
                return f"{target.host}{pattern}"
        return target.host

    return key


class UpstreamGuard:
    """Breakers and limits of upstreams, by host or by route, for the guarded transports.

    Transports that are given one guard share its breakers and its places. A status of 500 and above, 408, 425
    and 429 is a failure; other errors of the caller's count for nothing; a ``Retry-After`` with a failure opens the
    breaker for that long. It belongs to one event loop.

    Args:
        breaker: settings of each breaker; ``None`` for the defaults.
        key: what shares a breaker and a limit: :func:`by_host`, :func:`by_route`, or a function of a
            :class:`Target` that gives few different strings.
        slots: bounds what is under way; ``None`` for no bound.
        name: before the key in the breakers' names.
        max_keys: breakers that are kept, 1 to 65,535; the least recently used closed ones leave first.
        listed: whether the registry lists its breakers.
        deadline_header: in which requests carry the milliseconds left to the `deadline` or `timeout` around them,
            such as ``"X-Request-Timeout-Ms"``, unless they have it already; ``None`` tells upstreams nothing.
        clock: the breakers' clock.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for `max_keys` out of its range, or a `deadline_header` that can't be the name of one.
    """

    def __init__(
        self,
        *,
        breaker: CircuitBreakerConfig | None = None,
        key: Key = by_host,
        slots: Slots | None = None,
        name: str = "http",
        max_keys: int = 1_000,
        listed: bool = True,
        deadline_header: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if breaker is not None and not isinstance(breaker, CircuitBreakerConfig):
            raise TypeError(f"breaker must be a CircuitBreakerConfig or None, got {type_name(breaker)}")
        if not callable(key):
            raise TypeError(f"key must be a function of a Target, got {type_name(key)}")
        clock_or_none(clock)
        self._config = breaker or CircuitBreakerConfig()
        self._key = key
        self._slots = slots
        self._name = name
        self._max_keys = check_count("max_keys", max_keys)
        self._listed = listed
        self._deadline_header = _checked_header(deadline_header)
        self._clock = clock
        self._breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def tell_deadline(self, headers: Any) -> None:
        """Add to a request's headers how long its caller will still wait."""
        name = self._deadline_header
        if name is not None and name not in headers:
            headers.update(deadline_headers(name))

    def breaker(self, key: str) -> CircuitBreaker:
        """Return the breaker of a key, making it on first use."""
        found = self._breakers.get(key)
        if found is None:
            name = f"{self._name}:{key}"
            found = CircuitBreaker.from_config(self._config, name, clock=self._clock, listed=self._listed)
            self._breakers[key] = found
            if len(self._breakers) > self._max_keys:
                self._evict()
        else:
            self._breakers.move_to_end(key)
        return found

    @property
    def breakers(self) -> dict[str, CircuitBreaker]:
        """The breakers by key, the most recently used last."""
        return dict(self._breakers)

    def _evict(self) -> None:
        newest = next(reversed(self._breakers))
        idle = (key for key, breaker in self._breakers.items() if breaker.state == "closed" and key != newest)
        del self._breakers[next(idle, next(iter(self._breakers)))]

    async def admit(self, target: Target) -> "GuardedExchange":
        """Let a request through, waiting for a place when need be.

        Raises:
            CircuitOpenError: when the breaker doesn't let it through.
            BulkheadFullError: when no place came free in time.
        """
        key = self._key(target)
        breaker = self.breaker(key)
        token = breaker._admit()  # noqa: SLF001 - a call that outlives a function
        if self._slots is not None:
            try:
                await self._slots.acquire(target.host)
            except BaseException as error:
                breaker._settle(token, error, released=True)  # noqa: SLF001 - as above
                raise
        return GuardedExchange(breaker, token, self._slots, target.host)


def _checked_header(name: str | None) -> str | None:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"deadline_header must be a string or None, got {type_name(name)}")
    if name is not None and not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"deadline_header must be letters, digits and hyphens, got {name!r}")
    return name


class GuardedExchange:
    """A request that was admitted: exactly one outcome and one place given back, however it ends."""

    __slots__ = ("_breaker", "_ended", "_host", "_loop", "_settled", "_slots", "_thread", "_token")

    def __init__(self, breaker: CircuitBreaker, token: Any, slots: Slots | None, host: str) -> None:
        self._breaker = breaker
        self._token = token
        self._slots = slots
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._settled = False
        self._ended = False

    def answered(self, status: int, headers: Any) -> None:
        """Note the status line; a failing one settles the call, any other waits for the end of the body."""
        if status < 400:  # noqa: PLR2004 - the classes of HTTP statuses
            return
        busy = status in _BUSY or status >= 500  # noqa: PLR2004 - as above
        self._settle(UpstreamStatusError(status if status != 425 else 429))  # noqa: PLR2004 - as above
        wait = from_headers(headers, time()) if busy else None
        if wait:
            self._breaker.trip(wait)

    def ended(self, error: BaseException | None = None, *, released: bool = False) -> None:
        """Note the end of the body, or what went wrong; only the first end counts.

        Args:
            error: what ended it early; ``None`` for its regular end.
            released: whether nothing can be said of the upstream.
        """
        if self._ended:
            return
        self._ended = True
        self._settle(error, released=released)
        if self._slots is not None:
            self._slots.release(self._host)

    def _settle(self, error: BaseException | None, *, released: bool = False) -> None:
        if self._settled:
            return
        self._settled = True
        self._breaker._settle(self._token, error, released=released)  # noqa: SLF001 - the other half of admitting

    def __del__(self) -> None:
        if self._ended:
            return
        if threading.get_ident() == self._thread:  # somebody dropped an answer without closing it
            self.ended(released=True)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(
                _end_for, self._breaker, self._token, self._settled, self._slots, self._host
            )


def _end_for(
    breaker: CircuitBreaker,
    token: Any,
    settled: bool,  # noqa: FBT001 - a callback
    slots: Slots | None,
    host: str,
) -> None:
    """End an exchange whose object was collected by another thread."""
    if not settled:
        breaker._settle(token, None, released=True)  # noqa: SLF001 - as in the exchange
    if slots is not None:
        slots.release(host)
