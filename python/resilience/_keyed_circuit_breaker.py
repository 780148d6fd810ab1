"""Circuit breakers by key: one for each tenant, host or model, as many as there is room for."""

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Self

from resilience import _core
from resilience._checks import as_float, clock_or_none
from resilience._circuit_breaker import CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._fork import fork_safe_lock
from resilience._types import STATES, State, type_name

_MOST_KEYS = 10_000_000
# One for all: it is held for a few steps, under an interpreter lock that is taken anyway.
_lock = fork_safe_lock()


class _OfKey(CircuitBreaker):
    """The breaker of one key; tells its owner when it leaves the closed state or comes back to it."""

    __slots__ = ("_key", "_owner", "used")

    _key: Hashable
    _owner: "weakref.ref[KeyedCircuitBreaker]"
    used: float  # seconds on the owner's clock

    @classmethod
    def make(cls, owner: "KeyedCircuitBreaker", key: Hashable) -> Self:
        breaker = cls.from_config(owner.config, str(key), clock=owner.clock, listed=False)
        breaker._key = key  # noqa: SLF001 - its own maker
        breaker._owner = owner.reference  # noqa: SLF001 - as above
        return breaker

    def _tell_change(self, old: int, new: int) -> None:
        owner = self._owner()
        if owner is not None:
            owner._note_change(self._key, self, closed=STATES[new] is State.CLOSED)  # noqa: SLF001
        super()._tell_change(old, new)


class KeyedCircuitBreaker:
    """A circuit breaker for each key, so that one key's failures never stop another's calls.

    At most `max_keys` breakers are kept. A key that was not asked for during `idle_ttl` seconds leaves if its
    breaker is closed. When there is no room for a new key, the closed one that was asked for least recently
    leaves; keys whose breaker is in any other state stay. Only when no breaker is closed, the one that left the
    closed state first goes, since it has had the longest time to recover: a new key is always protected, and
    the number of keys is always bounded.

    A key that left while somebody still holds its breaker gets that breaker back when it is asked for again. The
    breakers share one configuration and are named after their keys. Since keys come from outside, they are not
    listed by :func:`get_all_circuit_breakers`, which keeps metrics by name bounded, nor reached by
    :func:`configure`; :meth:`get_stats` sums them up.

    Any thread may use it. ``for_key`` takes constant time.

    Args:
        config: the settings of every breaker; defaults when ``None``.
        max_keys: how many breakers are kept, 1 to 10,000,000.
        idle_ttl: seconds after which a closed breaker that nobody asked for leaves.
        clock: where time comes from; the system's clock when ``None``.

    Raises:
        ValueError: for a number out of its range.
        TypeError: for an argument of the wrong type.
    """

    def __init__(
        self,
        config: CircuitBreakerConfig | None = None,
        max_keys: int = 10_000,
        idle_ttl: float = 3600,
        *,
        clock: _core.Clock | None = None,
    ) -> None:
        if config is not None and not isinstance(config, CircuitBreakerConfig):
            raise TypeError(f"config must be a CircuitBreakerConfig, got {type_name(config)}")
        if isinstance(max_keys, bool) or not isinstance(max_keys, int):
            raise TypeError(f"max_keys must be a whole number, got {type_name(max_keys)} {max_keys!r}")
        if not 1 <= max_keys <= _MOST_KEYS:
            raise ValueError(f"max_keys must be a whole number in [1, {_MOST_KEYS}], got {max_keys}")
        if isinstance(idle_ttl, bool) or not isinstance(idle_ttl, (int, float)):
            raise TypeError(f"idle_ttl must be a number of seconds, got {type_name(idle_ttl)} {idle_ttl!r}")
        if not idle_ttl > 0:
            raise ValueError(f"idle_ttl must be a number of seconds > 0, got {idle_ttl}")
        clock_or_none(clock)
        self.config = config or CircuitBreakerConfig()
        self.clock = clock or self.config.clock or _core.SystemClock()
        self.reference = weakref.ref(self)  # one for all keys
        self._max_keys = max_keys
        self._idle_ttl = as_float(idle_ttl)
        # the least recently asked for first; of the others, which aren't closed, the first to leave that state
        self._closed: OrderedDict[Hashable, _OfKey] = OrderedDict()
        self._others: OrderedDict[Hashable, _OfKey] = OrderedDict()
        self._left: weakref.WeakValueDictionary[Hashable, _OfKey] = weakref.WeakValueDictionary()
        self._evictions = 0

    def for_key(self, key: Hashable) -> CircuitBreaker:
        """Return the breaker of `key`, making it when there is none.

        Raises:
            TypeError: when `key` can't be hashed.
        """
        now = self.clock.now()
        with _lock:
            breaker = self._closed.get(key)
            if breaker is not None:
                self._closed.move_to_end(key)
            else:
                breaker = self._others.get(key) or self._admit(key)
            breaker.used = now
            self._drop_idle(now)
        return breaker

    def _admit(self, key: Hashable) -> _OfKey:
        """Keep one more key, at the expense of another when there is no room."""
        breaker = self._left.pop(key, None)
        if breaker is None:
            breaker = _OfKey.make(self, key)
        while len(self._closed) + len(self._others) >= self._max_keys:
            self._evict(self._closed or self._others)
        home = self._closed if breaker.state is State.CLOSED else self._others
        home[key] = breaker
        return breaker

    def _evict(self, home: "OrderedDict[Hashable, _OfKey]") -> None:
        key, breaker = home.popitem(last=False)
        self._left[key] = breaker
        self._evictions += 1

    def _drop_idle(self, now: float) -> None:
        """Let closed keys go that nobody asked for in a long time; they come first."""
        while self._closed:
            oldest = next(iter(self._closed.values()))
            if now - oldest.used < self._idle_ttl:
                return
            self._evict(self._closed)

    def _note_change(self, key: Hashable, breaker: "_OfKey", *, closed: bool) -> None:
        """Put a kept breaker where its new state belongs."""
        source, target = (self._others, self._closed) if closed else (self._closed, self._others)
        with _lock:
            if source.get(key) is breaker:
                del source[key]
                target[key] = breaker
                breaker.used = self.clock.now()

    def __len__(self) -> int:
        """Return how many keys are kept."""
        with _lock:
            self._drop_idle(self.clock.now())
            return len(self._closed) + len(self._others)

    def __contains__(self, key: Hashable) -> bool:
        with _lock:
            return key in self._closed or key in self._others

    def get_stats(self) -> dict[str, int]:
        """Return how many keys are kept, by state, and how many have left; as many entries for any number of keys."""
        with _lock:
            kept = [*self._closed.values(), *self._others.values()]
            evictions = self._evictions
        by_state = dict.fromkeys((state.value for state in STATES), 0)
        for breaker in kept:
            by_state[breaker.state.value] += 1
        return {"keys": len(kept), "max_keys": self._max_keys, "evictions": evictions, **by_state}
