"""Health probes: an open circuit breaker closes as soon as its callee is seen to be back.

The native engine connects and asks; only verdicts come to Python.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from resilience import _core
from resilience._breaker_events import TellingBreaker
from resilience._checks import check_attempts
from resilience._types import STATES, State


class Prober(Protocol):
    """What probes on behalf of one breaker."""

    def state_changed(self, state: State) -> None:
        """Begin when the breaker opens, end when it does anything else."""

    def stop(self) -> None:
        """End probing."""


class Probe(Protocol):
    """How to find out whether a callee is back: a `HealthProbe`, or a `HealthCheck`."""

    def prober(self, on_recovery: Callable[[], Any]) -> Prober:
        """Make what a breaker starts and stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthProbe:
    """How to find out whether something is up, without sending it a real call.

    Args:
        url: `tcp://host:port`, up when it accepts a connection, or `http://host[:port][/path]`, up when a GET answers
            with a status below 400. TLS is not spoken: probe a plain port, or the TLS port over TCP.
        interval: seconds between the end of an attempt and the next one, in [0.001, 3600].
        timeout: seconds after which an attempt has failed, in [0.001, 3600].
        successes: attempts in a row that must succeed, in [1, 1000].

    Raises:
        ValueError: when an argument is out of range.
    """

    url: str
    interval: float = 1.0
    timeout: float = 1.0
    successes: int = 2

    def __post_init__(self) -> None:
        if not _core.is_probe_url(self.url):
            raise ValueError(f"url must be tcp://host:port or http://host[:port][/path], got {self.url!r}")
        check_attempts(self.interval, self.timeout, self.successes)

    def prober(self, on_recovery: Callable[[], Any]) -> "BreakerProber":
        """Make what a breaker starts and stops."""
        return BreakerProber(self, on_recovery)


class BreakerProber:
    """Probes while its breaker is open, and reports when enough attempts in a row have succeeded.

    Verdicts arrive on the event loop on which the breaker opened, or, when it opened outside of any, on a thread of
    their own.
    """

    def __init__(self, probe: HealthProbe, on_recovery: Callable[[], Any]) -> None:
        self._probe = probe
        self._on_recovery = on_recovery
        self._prober: _core.HealthProber | None = None
        self._thread: _ThreadLoop | None = None
        self._in_a_row = 0

    def state_changed(self, state: State) -> None:
        """Begin when the breaker opens, end when it does anything else."""
        self.stop()
        if state is State.OPEN:
            self._in_a_row = 0
            probe = self._probe
            self._prober = _core.HealthProber(
                self._loop(), probe.url, probe.interval, probe.timeout, self._take_verdict
            )

    def stop(self) -> None:
        """End probing; a verdict that is on its way is dropped."""
        if self._prober is not None:
            self._prober.stop()
            self._prober = None
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    def _loop(self) -> Any:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            self._thread = _ThreadLoop()
            return self._thread

    def _take_verdict(self, healthy: bool, _latency: float) -> None:  # noqa: FBT001 - the engine calls it
        self._in_a_row = self._in_a_row + 1 if healthy else 0
        if self._in_a_row >= self._probe.successes and self._prober is not None:
            self._on_recovery()


class _ThreadLoop:
    """As much of an event loop as a bridge needs: what is scheduled runs at once, on the pump's thread."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def is_closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    def add_reader(self, _descriptor: int, _callback: Any) -> None:
        raise NotImplementedError

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        callback()


class ProbedBreaker(TellingBreaker):
    """A breaker whose callee may be probed while it is open."""

    __slots__ = ("_probers",)

    _probers: tuple[Prober, ...]

    def add_health_probe(self, probe: Probe | str, **settings: Any) -> Callable[[], None]:
        """Probe the callee while the breaker is open, and close it early when the callee is back.

        Args:
            probe: a :class:`HealthProbe`, or its URL: ``tcp://host:port`` or ``http://host[:port][/path]``; or a
                :class:`HealthCheck` of one's own.
            **settings: of :class:`HealthProbe`, beside a URL.

        Returns:
            a function that removes the probe.

        Raises:
            ValueError: for a URL or a setting out of its range.
            TypeError: for settings beside a probe that has its own.
        """
        if isinstance(probe, str):
            probe = HealthProbe(url=probe, **settings)
        elif settings:
            raise TypeError(f"settings go with a URL, not with a {type(probe).__name__}")
        prober = probe.prober(self._health_succeeded)
        self._probers = (*self._probers, prober)
        prober.state_changed(STATES[self._state()])

        def remove() -> None:
            prober.stop()
            self._probers = tuple(each for each in self._probers if each is not prober)

        return remove

    def _tell_change(self, old: int, new: int) -> None:
        for prober in self._probers:
            prober.state_changed(STATES[new])
        super()._tell_change(old, new)
