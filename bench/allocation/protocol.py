"""How provisioning is judged: rolling origin, no look-ahead, the same start delay for every policy.

At the end of a step a policy has seen that step's load and says how many workers it wants from now on. A worker
serves after the lead time, and only while it has been wanted at the end of each step since. A worker serves so much
load that the 99.9th percentile of the judged part needs 20. Judged is what follows two weeks of learning, or one in a
short trace.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allocation.traces import MINUTE, Trace

LEAD = 15 * MINUTE
PEAK_WORKERS = 20
REACTIVE_USE = 0.7
SCALE_DOWN = 15 * MINUTE


@dataclass(frozen=True)
class Task:
    """A trace and what follows from it."""

    trace: Trace
    lead: int
    """Steps."""
    judged_from: int
    capacity: float
    most: int

    @classmethod
    def of(cls, trace: Trace) -> "Task":
        """Take the lead, the judged part and a worker's capacity from a trace."""
        day = trace.per_day
        lead = max(1, math.floor(LEAD / trace.step + 0.5))
        judged_from = 14 * day if len(trace.values) >= 28 * day else 7 * day + lead
        judged = sorted(trace.values[judged_from:])
        capacity = quantile(judged, 0.999) / PEAK_WORKERS
        return cls(trace, lead, judged_from, capacity, 2 * math.ceil(judged[-1] / capacity))

    def workers(self, load: float) -> int:
        """Return how many a load needs."""
        return max(1, math.ceil(load / self.capacity - 1e-9))

    @property
    def judged(self) -> list[float]:
        """The loads of the judged part."""
        return self.trace.values[self.judged_from :]

    @property
    def peak_to_mean(self) -> float:
        """The largest judged load over the mean one."""
        return max(self.judged) * len(self.judged) / sum(self.judged)


@dataclass(frozen=True)
class Outcome:
    """What a policy came to over the judged part."""

    cold: float
    """Worker-steps that were needed and did not serve yet."""
    cold_steps: int
    worker_steps: float
    """Paid for, those that are starting included."""
    lost: float
    """Share of the load beyond what served."""


def quantile(ordered: Sequence[float], q: float) -> float:
    """Interpolate between the two nearest of a sorted sequence."""
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def trailing(values: Sequence[float], width: int, best: type[max]) -> list[float]:
    """Return max or min over each step and the `width - 1` before it."""
    worse = (lambda old, new: old <= new) if best is max else (lambda old, new: old >= new)
    found: list[float] = []
    falling: deque[tuple[int, float]] = deque()
    for step, value in enumerate(values):
        while falling and worse(falling[-1][1], value):
            falling.pop()
        falling.append((step, value))
        if falling[0][0] <= step - width:
            falling.popleft()
        found.append(falling[0][1])
    return found


def reactive(task: Task) -> list[float]:
    """Scale by the present load at 70 % use, down only after 15 minutes of less."""
    wanted = [math.ceil(load / (task.capacity * REACTIVE_USE) - 1e-9) for load in task.trace.values]
    window = max(task.lead, 1, math.floor(SCALE_DOWN / task.trace.step + 0.5))
    return trailing(wanted, window, max)


def static(task: Task) -> list[float]:
    """Provide for the judged part's peak, always."""
    return [float(task.workers(max(task.judged)))] * len(task.trace.values)


def foresight(task: Task) -> list[float]:
    """Know the load of the lead time: the least that any policy can pay for no cold worker."""
    loads = task.trace.values
    ahead = [task.workers(load) for load in [*loads[task.lead :], *[loads[-1]] * task.lead]]
    return trailing(ahead, task.lead, max)


def judge(task: Task, targets: Iterable[float]) -> Outcome:
    """Score what a policy wanted at the end of each step."""
    wanted = [min(max(target, 1), task.most) for target in targets]
    warm = trailing(wanted, task.lead, min)
    cold = lost = paid = 0.0
    cold_steps = 0
    for step in range(task.judged_from, len(wanted)):
        load, ready = task.trace.values[step], warm[step - 1]
        missing = max(0.0, task.workers(load) - ready)
        cold += missing
        cold_steps += missing > 0
        paid += wanted[step - 1]
        lost += max(0.0, load - ready * task.capacity)
    return Outcome(cold, cold_steps, paid, lost / max(sum(task.judged), 1.0))
