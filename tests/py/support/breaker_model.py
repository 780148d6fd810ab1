"""The circuit breaker once more, in plain Python: what the native one is compared with.

Nothing here is clever: the window is a list of calls, a trial is a dict of leases, time is whole milliseconds.
"""

import dataclasses
import math
from typing import Any

from resilience import CircuitBreaker, CircuitBreakerConfig, CircuitOpenError
from resilience.testing import ManualClock

_PASSING = {"closed", "disabled", "metrics_only"}


@dataclasses.dataclass
class Call:
    """One call in the window; `slot` is the piece of time that it leaves with."""

    slot: int
    failed: bool
    slow: bool
    cancelled: bool


@dataclasses.dataclass
class Permit:
    generation: int
    lease: int
    started: int


class Window:
    """The last calls, or those of the last milliseconds in 20 slots laid from the first call."""

    SLOTS = 20

    def __init__(self, length: int, size: int | None) -> None:
        self.width = length // self.SLOTS
        self.size = size
        self.calls: list[Call] = []
        self.origin = 0

    def inside(self, now: int) -> list[Call]:
        if self.size is not None:
            return self.calls[-self.size :]
        present = (now - self.origin) // self.width
        return [call for call in self.calls if present - call.slot < self.SLOTS]

    def add(self, now: int, outcome: str, *, slow: bool) -> None:
        self.calls = self.inside(now)
        if not self.calls:
            self.origin = now
        slot = (now - self.origin) // self.width
        self.calls.append(Call(slot, outcome == "failure", slow, outcome == "cancelled"))

    def clear(self) -> None:
        self.calls = []


class BreakerModel:
    """State, window and trial of one breaker; times in milliseconds."""

    def __init__(self, config: CircuitBreakerConfig) -> None:
        resolved = config._resolved()
        ms = {
            key: round(resolved[key] * 1000)
            for key in ("monitor_window", "recovery_timeout", "max_recovery_timeout", "probe_timeout")
        }
        self.settings: dict[str, Any] = {**resolved, **ms}
        slow = resolved["slow_call_duration"]
        self.slow_duration = None if slow is None else round(slow * 1000)
        self.window = Window(ms["monitor_window"], resolved["window_calls"] or None)
        self.now = 0
        self.state = "closed"
        self.generation = 0
        self.consecutive = 0
        self.until: float | None = None
        self.reopenings = 0
        self.totals = dict.fromkeys(
            ("successes", "failures", "ignored", "cancelled", "slow", "rejected", "late"), 0
        )
        self.clear_trial()

    def clear_trial(self) -> None:
        self.leases: dict[int, int] = {}  # lease -> end
        self.next_lease = 1
        self.admitted = self.good = self.bad = 0

    # ---- transitions ----

    def enter(self, state: str) -> None:
        self.state = state
        self.generation += 1
        if state not in {"open", "forced_open"}:
            self.until = None
        if state == "half_open":
            self.clear_trial()
        if state == "closed":
            self.reopenings = 0
            self.window.clear()
            self.consecutive = 0

    def open_for_recovery(self) -> None:
        settings = self.settings
        backed_off = settings["recovery_timeout"] * settings["recovery_backoff"] ** self.reopenings
        self.reopenings += 1
        self.until = self.now + min(backed_off, settings["max_recovery_timeout"])
        self.enter("open")

    @property
    def shown_state(self) -> str:
        ran_out = self.state == "forced_open" and self.until is not None and self.now >= self.until
        return "closed" if ran_out else self.state

    # ---- calls ----

    def admit(self) -> Permit | float:
        """A permit, or the milliseconds to wait of a rejection (infinite when nobody knows)."""
        if self.state in {"open", "forced_open"} and (self.until is None or self.now < self.until):
            self.totals["rejected"] += 1
            return math.inf if self.until is None else self.until - self.now
        if self.state == "forced_open":
            self.enter("closed")
        elif self.state == "open":
            self.enter("half_open")
        if self.state in _PASSING:
            return Permit(self.generation, 0, self.now)
        return self.admit_probe()

    def admit_probe(self) -> Permit | float:
        self.expire_leases()
        if (
            len(self.leases) >= self.settings["half_open_concurrency"]
            or self.admitted >= self.settings["half_open_requests"]
        ):
            self.totals["rejected"] += 1
            return max(min(self.leases.values()) - self.now, 0)
        lease = self.next_lease
        self.next_lease += 1
        self.admitted += 1
        self.leases[lease] = self.now + self.settings["probe_timeout"]
        return Permit(self.generation, lease, self.now)

    def expire_leases(self) -> None:
        gone = [lease for lease, end in self.leases.items() if end <= self.now]
        for lease in gone:
            del self.leases[lease]
        self.admitted -= len(gone)

    def settle(self, permit: Permit, outcome: str) -> None:
        duration = self.now - permit.started
        if permit.lease:
            self.settle_probe(permit, outcome, duration)
        elif permit.generation != self.generation:
            self.totals["late"] += 1
        else:
            self.record(outcome, duration)

    def record(self, outcome: str, duration: int) -> None:
        if self.state == "disabled":
            return
        if self.count(outcome, slow=self.is_slow(outcome, duration)) and self.state == "closed":
            self.judge(outcome)

    def settle_probe(self, permit: Permit, outcome: str, duration: int) -> None:
        live = permit.generation == self.generation
        if live:
            self.expire_leases()
            live = permit.lease in self.leases
        if not live:
            self.totals["late"] += 1
            return
        del self.leases[permit.lease]
        slow = self.is_slow(outcome, duration)
        self.count(outcome, slow=slow)
        if outcome == "failure" or (
            outcome == "success" and slow and self.settings["slow_call_rate_threshold"] is not None
        ):
            self.bad += 1
        elif outcome == "success":
            self.good += 1
        else:
            self.admitted -= 1
        if self.good >= self.settings["success_threshold"]:
            self.enter("closed")
        elif self.bad > self.settings["half_open_requests"] - self.settings["success_threshold"]:
            self.open_for_recovery()

    def is_slow(self, outcome: str, duration: int) -> bool:
        return outcome != "ignored" and self.slow_duration is not None and duration >= self.slow_duration

    def count(self, outcome: str, *, slow: bool) -> bool:
        """Count one outcome; true when it is in the window."""
        plural = {"success": "successes", "failure": "failures"}.get(outcome, outcome)
        self.totals[plural] += 1
        self.totals["slow"] += slow
        if outcome == "success":
            self.consecutive = 0
        elif outcome == "failure":
            self.consecutive += 1
        if outcome == "ignored" or (outcome == "cancelled" and not slow):
            return False
        self.window.add(self.now, outcome, slow=slow)
        return True

    def judge(self, outcome: str) -> None:
        threshold = self.settings["failure_threshold"]
        in_a_row = threshold and outcome == "failure" and self.consecutive >= threshold
        if in_a_row or self.rates_exceeded():
            self.open_for_recovery()

    def rates_exceeded(self) -> bool:
        calls = self.window.inside(self.now)
        if len(calls) < self.settings["minimum_calls"]:
            return False
        parts = {
            "failure_rate_threshold": sum(call.failed for call in calls),
            "slow_call_rate_threshold": sum(call.slow for call in calls),
        }
        return any(
            self.settings[key] is not None and part / len(calls) >= self.settings[key]
            for key, part in parts.items()
        )

    def observe(self, outcome: str, duration: int) -> None:
        """An outcome that was seen elsewhere."""
        if self.state in _PASSING:
            self.record(outcome, duration)
        else:
            self.totals["late"] += 1

    # ---- by hand ----

    def trip(self, duration: int) -> None:
        until = self.now + min(duration, self.settings["max_recovery_timeout"])
        if duration <= 0:
            return
        if self.state == "open":
            self.until = max(until, self.until or 0)
        elif self.state in {"closed", "half_open"}:
            self.until = until
            self.enter("open")

    def force_open(self, ttl: int | None) -> None:
        self.until = None if ttl is None else self.now + ttl
        if self.state != "forced_open":
            self.enter("forced_open")

    def switch(self, state: str) -> None:
        """Enter a state that is entered by hand only."""
        if self.state != state:
            self.enter(state)


class IgnoredError(Exception):
    """An error that the modelled breakers ignore."""


ENDINGS: dict[str, BaseException | None] = {
    "success": None,
    "failure": OSError("down"),
    "ignored": IgnoredError(),
    "cancelled": GeneratorExit(),
}


class Pair:
    """A breaker and its model, led through the same steps and compared after each."""

    def __init__(self, **settings: Any) -> None:
        config = CircuitBreakerConfig(recovery_jitter=0.0, ignore=IgnoredError, **settings)
        self.clock = ManualClock()
        self.breaker = CircuitBreaker.from_config(config, "modelled", clock=self.clock, listed=False)
        self.model = BreakerModel(config)
        self.running: list[tuple[Any, Permit]] = []
        self.steps = 0

    def advance(self, ms: int) -> None:
        self.clock.advance(ms / 1000)
        self.model.now += ms

    def start(self) -> None:
        context = self.breaker.guard()
        expected = self.model.admit()
        try:
            context.__enter__()
        except CircuitOpenError as error:
            assert not isinstance(expected, Permit)
            if math.isinf(expected):
                assert error.retry_after is None
            else:
                assert error.retry_after == approximately(expected)
        else:
            assert isinstance(expected, Permit)
            self.running.append((context, expected))

    def finish(self, which: int, outcome: str) -> None:
        context, permit = self.running.pop(which % len(self.running))
        error = ENDINGS[outcome]
        context.__exit__(None if error is None else type(error), error, None)
        self.model.settle(permit, outcome)

    def observe(self, outcome: str, ms: int) -> None:
        error = ENDINGS[outcome]
        if error is None:
            self.breaker.record_success(ms / 1000)
        else:
            self.breaker.record_failure(error, ms / 1000)
        self.model.observe(outcome, ms)

    def trip(self, ms: int) -> None:
        self.breaker.trip(ms / 1000)
        self.model.trip(ms)

    def force_open(self, ttl: int | None) -> None:
        self.breaker.force_open(ttl=None if ttl is None else ttl / 1000)
        self.model.force_open(ttl)

    def switch(self, state: str) -> None:
        {"disabled": self.breaker.disable, "metrics_only": self.breaker.metrics_only}[state]()
        self.model.switch(state)

    def reset(self) -> None:
        self.breaker.reset()
        self.model.enter("closed")

    def compare(self) -> None:
        self.steps += 1
        breaker, model = self.breaker, self.model
        assert breaker.state.value == model.shown_state
        inside = model.window.inside(model.now)
        failures = sum(call.failed for call in inside)
        stats = breaker.get_stats()
        successes = sum(not call.failed and not call.cancelled for call in inside)
        assert (breaker.failure_count, breaker.success_count) == (failures, successes)
        assert stats["slow_call_count"] == sum(call.slow for call in inside)
        assert stats["consecutive_failures"] == model.consecutive
        assert stats["totals"] == model.totals
        known = model.shown_state in {"open", "forced_open"} and model.until is not None
        assert breaker.opened_until == (approximately(model.until) if known else None)


@dataclasses.dataclass(frozen=True)
class approximately:  # noqa: N801 - reads as a value
    """Seconds equal to these milliseconds, to the microsecond."""

    ms: float | None

    def __eq__(self, seconds: object) -> bool:
        return isinstance(seconds, float) and self.ms is not None and abs(seconds * 1000 - self.ms) < 1e-3

    def __hash__(self) -> int:
        return hash(self.ms)
