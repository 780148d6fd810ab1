"""What decided sizes are applied to: caches, bulkheads, adaptive limits."""

import pytest

from resilience import Bulkhead, Cache, adaptive_limit
from resilience._core import ManualClock
from resilience.allocator import (
    PredictiveResourceAllocator,
    adaptive_limit_size,
    bulkhead_size,
    cache_size,
)


def busy(**more):
    return {"rpm": 140.0, "connections": 50.0, "response_time": 0.2, **more}


def allocator(**settings):
    return PredictiveResourceAllocator(**{"clock": ManualClock(0.0), "lead_time": 60.0, **settings})


def current(machine, resource):
    return machine.get_predictions()["current_allocations"][resource]


def test_a_bulkhead_gets_the_places_that_are_decided():
    machine, bulkhead = allocator(), Bulkhead(20)
    machine.bind("connections", bulkhead_size(bulkhead))
    machine.observe(busy())
    assert bulkhead.max_concurrent == current(machine, "connections") == 63
    for _ in range(20):
        machine.observe(busy(connections=8.0))
    assert bulkhead.max_concurrent == current(machine, "connections") == 10


def test_an_adaptive_limit_may_come_to_what_is_decided():
    machine, limit = allocator(), adaptive_limit(initial=5, max=20)
    machine.bind("connections", adaptive_limit_size(limit))
    machine.observe(busy())
    assert (limit.max_limit, limit.limit) == (63, 5)


def test_a_cache_grows_with_the_load_and_gives_back_what_memory_lacks():
    machine = allocator(lead_time=60.0)
    by_entries, by_bytes = Cache(1_000), Cache(max_entries=1_000_000, max_bytes=100 * 2**20)
    machine.bind("cache_size_mb", cache_size(by_entries, entries_per_mb=10))
    machine.bind("cache_size_mb", cache_size(by_bytes))
    for step in range(5):
        machine.observe(busy(rpm=100.0 + 10 * step, memory_fraction=0.5))
    assert current(machine, "cache_size_mb") == 150
    assert by_entries.stats()["max_size"] == 1_500
    for key in range(1_500):
        by_entries[key] = key
        by_bytes[key] = b"x" * 80_000
    assert by_bytes.stats()["bytes"] > 100 * 2**20
    for _ in range(2):
        machine.observe(busy(rpm=140.0, memory_fraction=0.95))
    assert current(machine, "cache_size_mb") == 50
    assert len(by_entries) <= 500
    assert by_bytes.stats()["bytes"] <= 50 * 2**20


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ValueError, "entries_per_mb must be given"),
        ({"entries_per_mb": 0}, ValueError, "entries_per_mb must be a whole number >= 1"),
        ({"entries_per_mb": 1.5}, TypeError, "entries_per_mb must be an integer"),
    ],
)
def test_a_cache_that_counts_entries_needs_their_size(settings, error, message):
    with pytest.raises(error, match=message):
        cache_size(Cache(10), **settings)
