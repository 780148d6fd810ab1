"""The architecture score: full when everything works, less and with its reason when any part is broken."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from resilience.fastapi import RequestMetrics
from score import score


def working():
    """Services of which every part is as it should be."""
    metrics = RequestMetrics()
    for _ in range(100):
        metrics.observe("GET", "/healthz", 200, 0.0005)
    batcher = {"total_batches": 3, "efficiency_ratio": 0.9}
    return SimpleNamespace(
        resilience=SimpleNamespace(
            metrics=metrics,
            admission=SimpleNamespace(refused=0),
            dependencies=SimpleNamespace(report=lambda: {"database": {"status": "up", "error": None}}),
        ),
        loop_watch=SimpleNamespace(median=0.0002),
        pooling=SimpleNamespace(least=0.6, improvement={"http": 0.6}, reason=None),
        dispatcher=SimpleNamespace(
            openings=2,
            most_failures_to_open=3,
            recoveries=1,
            triggered_openings=1,
            status=lambda: {"ollama": {"state": "closed"}},
        ),
        settings=SimpleNamespace(has_test_endpoints=True, allocation_interval=60.0),
        caches={"answers": lambda: {"hits": 90, "misses": 10}},
        batchers={name: lambda: batcher for name in ("llm_batcher", "embedding_batcher")},
        allocator=lambda: {
            "optimization_status": "active",
            "last_sample_time": datetime.now(UTC).timestamp() - 30,
        },
    )


def slow_probes(services):
    for _ in range(100):
        services.resilience.metrics.observe("GET", "/healthz", 200, 0.05)


def blocked_loop(services):
    services.loop_watch.median = 0.1


def failing_requests(services):
    for _ in range(10):
        services.resilience.metrics.observe("GET", "/items", 500, 0.001)


def no_gain(services):
    services.pooling.least = 0.1


def no_upstream_to_probe(services):
    services.pooling.least, services.pooling.reason = None, "the upstream is away"


def database_away(services):
    services.resilience.dependencies.report = lambda: {"database": {"status": "down", "error": "OSError"}}


def no_dispatcher(services):
    services.dispatcher = None


def late_opening(services):
    services.dispatcher.most_failures_to_open = 7


def no_recovery(services):
    services.dispatcher.recoveries = 0


def open_breaker(services):
    services.dispatcher.status = lambda: {"ollama": {"state": "closed"}, "auth": {"state": "open"}}


def untested_breakers(services):
    services.dispatcher.triggered_openings = 0


def cold_cache(services):
    services.caches["answers"] = lambda: {"hits": 1, "misses": 9}


def empty_batches(name):
    def broken(services):
        services.batchers[name] = lambda: {"total_batches": 9, "efficiency_ratio": 0.2}

    return broken


def missing_batcher(name):
    def broken(services):
        del services.batchers[name]

    return broken


def idle_batcher(name):
    def broken(services):
        services.batchers[name] = lambda: {"total_batches": 0, "efficiency_ratio": 0.0}

    return broken


def never_opened(services):
    services.dispatcher.openings = services.dispatcher.most_failures_to_open = 0


def unused_cache(services):
    services.caches["answers"] = lambda: {"hits": 0, "misses": 0}


def inactive_allocator(services):
    services.allocator = lambda: {"optimization_status": "inactive", "last_sample_time": None}


def no_allocator(services):
    services.allocator = None


def replaying_allocator(services):
    working_one = services.allocator()
    services.allocator = lambda: working_one | {"replay": {"share": 0.5}}


def stale_allocator(services):
    services.allocator = lambda: {"optimization_status": "active", "last_sample_time": 1.0}


# What is broken, the checks that notice it, the score that is left, and what the evidence has to say.
BROKEN = [
    (slow_probes, {"response_times"}, 80, lambda seen: seen["mean_ms"] > 2 and seen["requests"] == 200),
    (blocked_loop, {"response_times"}, 80, {"event_loop_lag_ms": 100.0}),
    (
        failing_requests,
        {"success_rate"},
        80,
        {
            "requests": 110,
            "errors": 10,
            "failed_since_start": {"GET /items 500": 10},
            "refused_for_overload": 0,
        },
    ),
    (no_gain, {"connection_pooling"}, 80, {"improvement": {"http": 0.6}}),
    (no_upstream_to_probe, {"connection_pooling"}, 80, {"reason": "the upstream is away"}),
    (database_away, {"connection_pooling"}, 80, {"away": {"database": "OSError"}}),
    (no_dispatcher, {"circuit_breakers", "breaker_testing"}, 75, {"reason": "the dispatcher is not up"}),
    (never_opened, {"circuit_breakers"}, 80, {"openings": 0}),
    (late_opening, {"circuit_breakers"}, 80, {"most_failures_to_open": 7}),
    (no_recovery, {"circuit_breakers"}, 80, {"recoveries": 0}),
    (open_breaker, {"circuit_breakers"}, 80, {"not_closed": {"auth": "open"}}),
    (untested_breakers, {"breaker_testing"}, 95, {"triggered_openings": 0}),
    (cold_cache, {"cache_hit_rate"}, 95, {"hit_rate": 0.1}),
    (unused_cache, {"cache_hit_rate"}, 95, {"hit_rate": None}),
    (empty_batches("llm_batcher"), {"request_batching"}, 95, {"llm_batcher": 0.2}),
    (empty_batches("embedding_batcher"), {"request_batching"}, 95, {"embedding_batcher": 0.2}),
    (idle_batcher("llm_batcher"), {"request_batching"}, 95, {"llm_batcher": None}),
    (missing_batcher("embedding_batcher"), {"request_batching"}, 95, {"embedding_batcher": None}),
    (no_allocator, {"predictive_allocation"}, 95, {"reason": "no allocator is attached"}),
    (inactive_allocator, {"predictive_allocation"}, 95, {"status": "inactive"}),
    (replaying_allocator, {"predictive_allocation"}, 95, lambda seen: "recording" in seen["reason"]),
    (stale_allocator, {"predictive_allocation"}, 95, lambda seen: seen["last_sample_age_seconds"] > 150),
]


def test_everything_working_scores_100_with_evidence_for_each_point():
    total, details = score(working())
    assert total == 100
    assert all(detail["points"] == detail["possible"] and detail["evidence"] for detail in details.values())


@pytest.mark.parametrize(("broken", "lost", "total", "why"), BROKEN)
def test_a_broken_part_costs_its_points_and_says_why(broken, lost, total, why):
    services = working()
    broken(services)
    points, details = score(services)
    assert points == total
    assert {name for name, detail in details.items() if detail["points"] == 0} == lost
    evidence = details[max(lost)]["evidence"]
    assert why(evidence) if callable(why) else evidence.items() >= why.items()
    assert all(details[name]["requirement"] for name in lost)


def test_every_check_of_the_score_is_broken_by_one_of_these():
    _, details = score(working())
    assert set().union(*(lost for _, lost, _, _ in BROKEN)) == set(details)


def test_a_server_that_has_done_nothing_yet_has_earned_nothing_by_measurement():
    services = working()
    services.resilience.metrics = RequestMetrics()
    services.caches, services.batchers = {}, {}
    _, details = score(services)
    without = {"response_times", "success_rate", "cache_hit_rate", "request_batching"}
    assert {name for name, detail in details.items() if detail["points"] == 0} == without
