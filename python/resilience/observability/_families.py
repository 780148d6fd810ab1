"""Metric families as plain values: what a process measured, before anyone decides how to show it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from resilience import State, get_all_circuit_breakers

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max"]
Labels = tuple[tuple[str, str], ...]

# Series of one family; what is beyond is counted together under the label `<other>`.
MAX_NAMES = 500
_REDIS_RESULTS = frozenset({"hits", "misses", "errors", "rejected", "undecodable", "refused", "unencodable"})
OTHER = "<other>"


@dataclass(slots=True)
class Family:
    """One metric of one process.

    Attributes:
        name: With the prefix, without `_total`.
        kind: Counters and histograms only grow.
        help: One line.
        merge: How the gauges of several processes become one; counters are added.
        values: By labels; a histogram's are its bucket counts and its sum, see `bounds`.
        bounds: Upper bounds of a histogram's buckets but the last, seconds.
    """

    name: str
    kind: Kind
    help: str
    merge: Merge = "sum"
    values: dict[Labels, list[float]] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()

    def put(self, value: float, **labels: str) -> None:
        """Add a value to a series, which starts at zero."""
        self.add(tuple(sorted(labels.items())), [value])

    def add(self, labels: Labels, numbers: list[float]) -> None:
        """Add numbers to a series, or to that of the others once there are `MAX_NAMES`."""
        if labels not in self.values and len(self.values) >= MAX_NAMES:
            labels = tuple((name, OTHER) for name, _ in labels)
        known = self.values.setdefault(labels, [0.0] * len(numbers))
        if self.kind == "gauge" and self.merge == "max":
            self.values[labels] = [max(pair) for pair in zip(known, numbers, strict=True)]
        else:
            self.values[labels] = [sum(pair) for pair in zip(known, numbers, strict=True)]

    def check(self) -> None:
        """Find what couldn't be shown, whatever it was put together from.

        Raises:
            TypeError: for a name, help or labels that are no text, and values that are no numbers.
            ValueError: for a histogram without a number for each of its buckets and one for their sum.
        """
        if not (self.name and all(isinstance(text, str) for text in (self.name, self.help))):
            raise TypeError(f"name and help must be text, got {self.name!r} and {self.help!r}")
        length = len(self.bounds) + 2 if self.kind == "histogram" else 1
        for labels, numbers in self.values.items():
            if not all(isinstance(text, str) for label in labels for text in label):
                raise TypeError(f"labels of {self.name} must be text, got {labels!r}")
            if not all(isinstance(number, int | float) for number in numbers):
                raise TypeError(f"values of {self.name} must be numbers, got {numbers!r}")
            if len(numbers) != length:
                raise ValueError(f"a series of {self.name} must have {length} numbers, got {len(numbers)}")


def add_to(families: dict[str, Family], family: Family) -> None:
    """Add a family to those of the same name; one that measures otherwise, as another version might, is left out."""
    known = families.setdefault(
        family.name, Family(family.name, family.kind, family.help, family.merge, {}, family.bounds)
    )
    if (known.kind, known.bounds) != (family.kind, family.bounds):
        return
    for labels, numbers in family.values.items():
        known.add(labels, numbers)


Source = Callable[[], Iterable[Family]]

_STATE_VALUES = {
    State.CLOSED: 0,
    State.HALF_OPEN: 1,
    State.OPEN: 2,
    State.FORCED_OPEN: 3,
    State.DISABLED: 4,
    State.METRICS_ONLY: 5,
}


def breaker_families() -> Iterable[Family]:
    """Return state, calls and transitions of every registered breaker.

    Each call has one outcome, so that they add up; a slow one is counted apart as well.
    """
    state = Family(
        "resilience_circuit_breaker_state",
        "gauge",
        "0 closed, 1 half-open, 2 open, 3 forced open, 4 disabled, 5 metrics only",
        merge="max",
    )
    calls = Family("resilience_circuit_breaker_calls", "counter", "Calls by outcome")
    slow = Family(
        "resilience_circuit_breaker_slow_calls", "counter", "Calls that took too long, of any outcome"
    )
    transitions = Family("resilience_circuit_breaker_transitions", "counter", "State changes by new state")
    for name, breaker in get_all_circuit_breakers().items():
        stats = breaker.get_stats()
        state.put(_STATE_VALUES[breaker.state], name=name)
        for outcome, total in stats["totals"].items():
            if outcome == "slow":
                slow.put(total, name=name)
            else:
                calls.put(total, name=name, outcome=outcome)
        for new, total in stats["transitions"].items():
            transitions.put(total, name=name, to=new)
    return state, calls, slow, transitions


def cache_families(caches: Mapping[str, Callable[[], Mapping[str, Any]]]) -> Iterable[Family]:
    """Return size and look-ups of caches, given their `stats`."""
    entries = Family("resilience_cache_entries", "gauge", "Entries in the cache")
    lookups = Family("resilience_cache_lookups", "counter", "Look-ups by result")
    evictions = Family("resilience_cache_evictions", "counter", "Entries that left, by cause")
    for name, read in caches.items():
        stats = read()
        entries.put(stats["size"], name=name)
        for result in ("hits", "misses"):
            lookups.put(stats[result], name=name, result=result)
        for cause, count in dict(stats.get("evictions") or {}).items():
            evictions.put(count, name=name, cause=cause)
    return entries, lookups, evictions


def redis_cache_families(caches: Mapping[str, Callable[[], Mapping[str, Any]]]) -> Iterable[Family]:
    """Return what became of operations in Redis, what was ignored there among them, given caches' `stats`."""
    operations = Family("resilience_redis_cache_operations", "counter", "Operations in Redis by result")
    for name, read in caches.items():
        for result, count in read().items():
            if result in _REDIS_RESULTS:
                operations.put(count, name=name, result=result)
    return (operations,)


def batcher_families(batchers: Mapping[str, Callable[[], Mapping[str, Any]]]) -> Iterable[Family]:
    """Return throughput and fill of batchers, given their `get_metrics`."""
    items = Family("resilience_batcher_requests", "counter", "Items taken")
    batches = Family("resilience_batcher_batches", "counter", "Batches dispatched")
    pending = Family("resilience_batcher_pending", "gauge", "Items waiting")
    ratio = Family("resilience_batcher_efficiency_ratio", "gauge", "Mean fill of a batch", merge="max")
    for name, read in batchers.items():
        metrics = read()
        items.put(metrics["total_requests"], name=name)
        batches.put(metrics["total_batches"], name=name)
        pending.put(metrics["pending_requests"], name=name)
        ratio.put(metrics["efficiency_ratio"], name=name)
    return items, batches, pending, ratio


def allocator_families(predictions: Mapping[str, Any]) -> Iterable[Family]:
    """Return sizes, forecasts and state of an allocator, given its `get_predictions()`.

    Workers of one server each forecast all of its load, so the largest stands for it; those of several servers add up
    to the service's. An autoscaler divides by what a worker serves.
    """
    expected = predictions["predictions"]
    sizes = gauge(
        "resilience_allocation",
        "Size that the allocator provides",
        predictions["current_allocations"],
        merge="max",
    )
    forecast = Family(
        "resilience_forecast", "gauge", "Load expected after the lead time, by measure", merge="max"
    )
    forecast.put(expected["expected_rpm"], measure="rpm")
    forecast.put(expected["expected_rpm_p90"], measure="rpm_p90")
    forecast.put(expected["expected_connections"], measure="connections")
    capacity = Family(
        "resilience_rpm_per_worker", "gauge", "Requests a minute that one worker serves", merge="max"
    )
    capacity.put(predictions["rpm_per_worker"])
    active = Family("resilience_allocator_active", "gauge", "1 while monitoring runs", merge="max")
    active.put(predictions["optimization_status"] == "active")
    return sizes, forecast, capacity, active


def external_api_families(apis: Mapping[str, Mapping[str, Any]]) -> Iterable[Family]:
    """Return requests and kept answers of external APIs, given the `stats()` of each."""
    asked = Family("resilience_external_requests", "counter", "Requests of external APIs by outcome")
    kept = Family("resilience_external_kept_answers", "gauge", "Answers kept to stand in for an API")
    for name, stats in apis.items():
        for outcome, total in stats["requests"].items():
            asked.put(total, name=name, outcome=outcome)
        kept.put(stats["kept_answers"], name=name)
    return asked, kept


def gauge(name: str, help_text: str, values: Mapping[str, float], *, merge: Merge = "sum") -> Family:
    """Return a gauge with one series a name."""
    family = Family(name, "gauge", help_text, merge=merge)
    for label, value in values.items():
        family.put(value, name=label)
    return family
