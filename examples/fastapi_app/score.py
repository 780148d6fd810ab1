"""The architecture score: named checks, each with its points, and the measurement that earned or missed them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from cache_metrics import hit_rate
from resilience import State
from services import Services

MAX_MEAN_MS = 2.0
MAX_ERROR_RATE = 0.05
MIN_POOLING_GAIN = 0.40
MAX_FAILURES_TO_OPEN = 3
MIN_HIT_RATE = 0.60
MIN_EFFICIENCY = 0.7
BATCHERS = ("llm_batcher", "embedding_batcher")
MAX_SAMPLE_AGE = 2.5  # sampling intervals
SHOWN_FAILURES = 3

Evidence = dict[str, Any]
Check = Callable[[Services], tuple[bool, Evidence]]


@dataclass(frozen=True, slots=True)
class Result:
    """One check: `points` of `possible`, and why."""

    points: int
    possible: int
    requirement: str
    evidence: Evidence


def score(services: Services) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the sum of all checks and each check's details; one without evidence yet scores 0."""
    results = dict(_results(services))
    return sum(r.points for r in results.values()), {name: asdict(r) for name, r in results.items()}


def _results(services: Services) -> Iterator[tuple[str, Result]]:
    for name, (possible, requirement, check) in _CHECKS.items():
        try:
            passed, evidence = check(services)
        except Exception as error:  # noqa: BLE001 - what can't be measured earns nothing, and costs no other check
            passed, evidence = False, {"reason": f"it can't be measured: {type(error).__name__}"}
        yield name, Result(possible if passed else 0, possible, requirement, evidence)


def _response_times(services: Services) -> tuple[bool, Evidence]:
    probes = services.resilience.metrics.probes_of_last_minute()
    mean, lag = (_milliseconds(seconds) for seconds in (probes.mean, services.loop_watch.median))
    evidence = {"mean_ms": mean, "requests": probes.requests, "event_loop_lag_ms": lag}
    return all(value is not None and value < MAX_MEAN_MS for value in (mean, lag)), evidence


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 4)


def _success_rate(services: Services) -> tuple[bool, Evidence]:
    minute = services.resilience.metrics.last_minute()
    passed = minute.requests > 0 and minute.errors < MAX_ERROR_RATE * minute.requests
    return passed, {
        "requests": minute.requests,
        "errors": minute.errors,
        "failed_since_start": _most_failed(services),
        "refused_for_overload": services.resilience.admission.refused,
    }


def _most_failed(services: Services) -> dict[str, int]:
    """Return the routes that were most often answered by a 5xx, and how often by which."""
    failed = {
        f"{method} {route} {status}": series.count
        for (method, route, status), series in services.resilience.metrics.series.items()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
    }
    return dict(sorted(failed.items(), key=lambda item: -item[1])[:SHOWN_FAILURES])


def _connection_pooling(services: Services) -> tuple[bool, Evidence]:
    gain = services.pooling.least
    away = {
        name: found["error"]
        for name, found in services.resilience.dependencies.report().items()
        if found["status"] == "down"
    }
    evidence = {
        "improvement": {scheme: round(value, 4) for scheme, value in services.pooling.improvement.items()},
        "reason": services.pooling.reason,
        "away": away,
    }
    return gain is not None and gain > MIN_POOLING_GAIN and not away, evidence


def _circuit_breakers(services: Services) -> tuple[bool, Evidence]:
    dispatcher = services.dispatcher
    if dispatcher is None:
        return False, {"reason": "the dispatcher is not up"}
    states = {name: figures["state"] for name, figures in dispatcher.status().items()}
    not_closed = {name: state for name, state in states.items() if state != State.CLOSED}
    evidence = {
        "openings": dispatcher.openings,
        "most_failures_to_open": dispatcher.most_failures_to_open,
        "recoveries": dispatcher.recoveries,
        "not_closed": not_closed,
    }
    opened_in_time = dispatcher.openings > 0 and dispatcher.most_failures_to_open <= MAX_FAILURES_TO_OPEN
    return opened_in_time and dispatcher.recoveries > 0 and not not_closed, evidence


def _breaker_testing(services: Services) -> tuple[bool, Evidence]:
    triggered = 0 if services.dispatcher is None else services.dispatcher.triggered_openings
    return triggered > 0, {"mounted": services.settings.has_test_endpoints, "triggered_openings": triggered}


def _cache_hit_rate(services: Services) -> tuple[bool, Evidence]:
    rate = hit_rate(services)
    caches = {name: _shares(stats()) for name, stats in services.caches.items()}
    return rate is not None and rate > MIN_HIT_RATE, {
        "hit_rate": None if rate is None else round(rate, 4),
        "caches": caches,
    }


def _shares(stats: Mapping[str, Any]) -> str:
    return f"{stats['hits']} of {stats['hits'] + stats['misses']}"


def _request_batching(services: Services) -> tuple[bool, Evidence]:
    evidence: Evidence = {}
    for name in BATCHERS:
        metrics = services.batchers[name]() if name in services.batchers else {}
        batches = metrics.get("total_batches", 0)
        evidence[name] = round(metrics["efficiency_ratio"], 4) if batches else None
    return all(ratio is not None and ratio > MIN_EFFICIENCY for ratio in evidence.values()), evidence


def _predictive_allocation(services: Services) -> tuple[bool, Evidence]:
    if services.allocator is None:
        return False, {"reason": "no allocator is attached"}
    predictions = services.allocator()
    if "replay" in predictions:
        return False, {"reason": "it lives through a recording, not through this server's load"}
    status, last = predictions["optimization_status"], predictions.get("last_sample_time")
    age = None if last is None else datetime.now(UTC).timestamp() - last
    fresh = age is not None and age < MAX_SAMPLE_AGE * services.settings.allocation_interval
    return status == "active" and fresh, {
        "status": status,
        "last_sample_age_seconds": None if age is None else round(age, 1),
    }


_CHECKS: dict[str, tuple[int, str, Check]] = {
    "response_times": (
        20,
        "mean below 2 ms on /healthz-class routes, and the loop's median lag too",
        _response_times,
    ),
    "success_rate": (20, "errors below 5 % in the last minute", _success_rate),
    "connection_pooling": (
        20,
        "pooled requests more than 40 % faster, no pool's server away",
        _connection_pooling,
    ),
    "circuit_breakers": (20, "opened within 3 failures, and all have recovered", _circuit_breakers),
    "breaker_testing": (5, "a breaker was opened through the test routes", _breaker_testing),
    "cache_hit_rate": (5, "more than 60 % of look-ups hit", _cache_hit_rate),
    "request_batching": (5, "both batchers more than 0.7 full", _request_batching),
    "predictive_allocation": (5, "active, with a fresh sample", _predictive_allocation),
}
