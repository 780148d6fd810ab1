"""The breaker does step by step what a plain model of its rules does, whatever happens to it.

`RESILIENCE_MODEL_STEPS` says how many steps are compared in each test (`./dev model` asks for many).
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings, stateful, strategies as st

from support.breaker_model import ENDINGS, Pair

STEPS = int(os.environ.get("RESILIENCE_MODEL_STEPS", "4000"))
RUN = 50  # steps with one breaker

whole = st.integers
rate = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.6, 0.75, 1.0])
SETTINGS = {
    "failure_threshold": st.none() | whole(0, 4),
    "failure_rate_threshold": st.none() | rate,
    "minimum_calls": whole(1, 6),
    "slow_call_duration": st.none() | st.sampled_from([0.1, 1.0]),
    "slow_call_rate_threshold": st.none() | rate,
    "monitor_window": st.sampled_from([1.0, 10.0]),
    "recovery_timeout": st.sampled_from([0.5, 5.0]),
    "recovery_backoff": st.sampled_from([1.0, 2.0]),
    "max_recovery_timeout": st.just(12.0),
    "success_threshold": whole(1, 3),
    "half_open_requests": st.none() | whole(3, 6),
    "half_open_concurrency": whole(1, 4),
    "probe_timeout": st.none() | st.sampled_from([0.2, 3.0]),
}
PAUSES = [0, 1, 49, 50, 51, 200, 500, 950, 1000, 3000, 5000, 9999, 10_000, 30_000]
outcomes = st.sampled_from(sorted(ENDINGS))


class BreakerMachine(stateful.RuleBasedStateMachine):
    """What can happen to a breaker; each class below fixes the kind of its window."""

    window_calls: st.SearchStrategy = st.none()

    @stateful.initialize(data=st.data())
    def build(self, data):
        chosen = {key: data.draw(strategy, label=key) for key, strategy in SETTINGS.items()}
        if chosen["slow_call_duration"] is None:
            chosen["slow_call_rate_threshold"] = None
        self.pair = Pair(window_calls=data.draw(self.window_calls, label="window_calls"), **chosen)

    @stateful.rule(ms=st.sampled_from(PAUSES))
    def time_passes(self, ms):
        self.pair.advance(ms)

    @stateful.rule()
    def a_call_starts(self):
        self.pair.start()

    @stateful.precondition(lambda self: self.pair.running)
    @stateful.rule(which=whole(0, 20), outcome=outcomes)
    def a_call_ends(self, which, outcome):
        self.pair.finish(which, outcome)

    @stateful.rule(outcome=outcomes)
    def a_call_runs(self, outcome):
        before = len(self.pair.running)
        self.pair.start()
        if len(self.pair.running) > before:
            self.pair.finish(before, outcome)

    @stateful.rule(outcome=outcomes, ms=st.sampled_from([0, 100, 2000]))
    def an_outcome_is_seen_elsewhere(self, outcome, ms):
        self.pair.observe(outcome, ms)

    @stateful.rule(ms=st.sampled_from([-1, 0, 300, 4000, 10**9]))
    def it_is_tripped(self, ms):
        self.pair.trip(ms)

    @stateful.rule(ttl=st.none() | st.sampled_from([1, 700, 4000]))
    def it_is_forced_open(self, ttl):
        self.pair.force_open(ttl)

    @stateful.rule(state=st.sampled_from(["disabled", "metrics_only"]))
    def it_is_switched(self, state):
        self.pair.switch(state)

    @stateful.rule()
    def it_is_reset(self):
        self.pair.reset()

    @stateful.invariant()
    def both_agree(self):
        if hasattr(self, "pair"):
            self.pair.compare()

    def teardown(self):
        while self.pair.running:
            self.pair.finish(0, "cancelled")
        self.pair.compare()


class CountWindowMachine(BreakerMachine):
    """The last calls are the window."""

    window_calls = whole(6, 12)


thorough = settings(
    max_examples=max(STEPS // RUN, 1),
    stateful_step_count=RUN,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestOverATimeWindow = BreakerMachine.TestCase
TestOverATimeWindow.settings = thorough
TestOverACountWindow = CountWindowMachine.TestCase
TestOverACountWindow.settings = thorough


def random_pair(rng, *, counted):
    """Settings such as Hypothesis would choose, from a seeded generator."""
    rates = [0.1, 0.25, 0.5, 0.6, 1.0]
    slow = rng.choice([None, 0.1, 1.0])
    return Pair(
        window_calls=rng.randint(6, 12) if counted else None,
        failure_threshold=rng.choice([None, 0, 1, 2, 3, 4]),
        failure_rate_threshold=rng.choice([None, *rates]),
        minimum_calls=rng.randint(1, 6),
        slow_call_duration=slow,
        slow_call_rate_threshold=slow and rng.choice([None, *rates]),
        monitor_window=rng.choice([1.0, 10.0]),
        recovery_timeout=rng.choice([0.5, 5.0]),
        recovery_backoff=rng.choice([1.0, 2.0]),
        max_recovery_timeout=12.0,
        success_threshold=(needed := rng.randint(1, 3)),
        half_open_requests=rng.choice([None, needed, needed + 3]),
        half_open_concurrency=rng.randint(1, 4),
        probe_timeout=rng.choice([None, 0.2, 3.0]),
    )


def random_step(rng, pair):
    """Calls far more often than what operators do, so that the machine reaches each state by itself."""
    match rng.choices(["start", "finish", "advance", "observe", "rare"], [30, 30, 30, 5, 5])[0]:
        case "start":
            pair.start()
        case "finish" if pair.running:
            pair.finish(rng.randrange(99), rng.choices(sorted(ENDINGS), [1, 4, 1, 4])[0])
        case "observe":
            pair.observe(rng.choice(sorted(ENDINGS)), rng.choice([0, 100, 2000]))
        case "rare":
            rare = [pair.reset, lambda: pair.trip(rng.choice([-1, 300, 10**9])),
                    lambda: pair.force_open(rng.choice([None, 700])),
                    lambda: pair.switch(rng.choice(["disabled", "metrics_only"]))]  # fmt: skip
            rng.choice(rare)()
        case _:
            pair.advance(rng.choice(PAUSES))


@pytest.mark.parametrize("counted", [False, True], ids=["time window", "count window"])
def test_long_random_schedules_leave_breaker_and_model_alike(counted):
    rng = random.Random(2026)
    compared = 0
    states = set()
    while compared < STEPS:
        pair = random_pair(rng, counted=counted)
        for _ in range(400):
            random_step(rng, pair)
            pair.compare()
            states.add(pair.model.state)
        compared += pair.steps
    assert compared >= STEPS
    assert states == {"closed", "open", "half_open", "forced_open", "disabled", "metrics_only"}
