"""Keyed breakers: each key on its own, never more of them than was asked for."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from resilience import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitOpenError,
    KeyedCircuitBreaker,
    State,
    configure,
    get_all_circuit_breakers,
)


def keyed(clock, **settings):
    return KeyedCircuitBreaker(
        CircuitBreakerConfig(failure_threshold=1, recovery_jitter=0.0), clock=clock, **settings
    )


def fail(breaker):
    breaker.record_failure(OSError("down"), 0.01)


def states(breakers, keys):
    return {key: breakers.for_key(key).state for key in keys}


def test_the_same_key_gives_the_same_breaker(clock):
    breakers = keyed(clock)
    assert breakers.for_key("a") is breakers.for_key("a")
    assert breakers.for_key("a") is not breakers.for_key("b")
    assert len(breakers) == 2
    assert "a" in breakers
    assert "c" not in breakers


def test_a_key_keeps_its_state_though_nobody_holds_its_breaker(clock):
    breakers = keyed(clock)
    fail(breakers.for_key("a"))
    gc.collect()
    assert breakers.for_key("a").state is State.OPEN


async def test_failures_of_one_key_stop_no_other_key(clock):
    breakers = keyed(clock)

    async def answer():
        return "fine"

    fail(breakers.for_key("broken"))
    with pytest.raises(CircuitOpenError):
        await breakers.for_key("broken").call(answer)
    assert await breakers.for_key("well").call(answer) == "fine"
    assert breakers.for_key("well").failure_count == 0


def test_the_closed_key_that_was_asked_for_least_recently_makes_room(clock):
    breakers = keyed(clock, max_keys=3)
    for key in "abc":
        breakers.for_key(key)
    breakers.for_key("a")
    breakers.for_key("d")
    assert [key for key in "abcd" if key in breakers] == ["a", "c", "d"]


def test_open_keys_stay_while_closed_ones_make_room(clock):
    breakers = keyed(clock, max_keys=3)
    for key in ("open 1", "open 2"):
        fail(breakers.for_key(key))
    for number in range(100):
        breakers.for_key(number)
    assert len(breakers) == 3
    assert states(breakers, ["open 1", "open 2"]) == {"open 1": State.OPEN, "open 2": State.OPEN}
    assert 99 in breakers


def test_when_every_key_is_open_the_one_that_opened_first_makes_room(clock):
    breakers = keyed(clock, max_keys=3)
    for key in range(5):
        fail(breakers.for_key(key))
        clock.advance(1)
    assert len(breakers) == 3
    assert [key for key in range(5) if key in breakers] == [2, 3, 4]
    assert breakers.for_key(4).state is State.OPEN


def test_the_bound_holds_through_any_mixture_of_states(clock):
    breakers = keyed(clock, max_keys=8)
    steer = [fail, lambda each: each.disable(), lambda each: each.force_open(), lambda each: each.reset(),
             lambda each: each.metrics_only(), lambda each: None]  # fmt: skip
    for number in range(500):
        steer[number % len(steer)](breakers.for_key(number % 37))
        clock.advance(0.5)
        assert len(breakers) <= 8
    stats = breakers.get_stats()
    assert stats["keys"] == sum(stats[state.value] for state in State) == len(breakers)


def test_closed_keys_leave_when_nobody_asked_for_them_during_idle_ttl(clock):
    breakers = keyed(clock, idle_ttl=60)
    breakers.for_key("idle")
    fail(breakers.for_key("open"))
    clock.advance(59)
    breakers.for_key("busy")
    clock.advance(1)
    assert len(breakers) == 2
    assert "idle" not in breakers
    clock.advance(10_000)
    assert breakers.for_key("open").state is State.OPEN
    assert len(breakers) == 1


def test_a_key_whose_breaker_closed_again_may_leave_again(clock):
    breakers = keyed(clock, max_keys=2)
    fail(breakers.for_key("a"))
    breakers.for_key("a").reset()
    breakers.for_key("b")
    breakers.for_key("c")
    assert "a" not in breakers


def test_a_key_that_left_gets_its_breaker_back_while_somebody_holds_it(clock):
    breakers = keyed(clock, max_keys=1)
    held = breakers.for_key("held")
    breakers.for_key("other")
    assert "held" not in breakers
    fail(held)
    assert breakers.for_key("held") is held
    assert breakers.for_key("held").state is State.OPEN
    assert len(breakers) == 1


def test_keyed_breakers_are_not_listed_so_that_metrics_by_name_stay_few(clock):
    breakers = keyed(clock)
    before = get_all_circuit_breakers()
    for number in range(1000):
        breakers.for_key(f"tenant-{number}")
    assert get_all_circuit_breakers() == before
    assert len(breakers.get_stats()) == 9


def test_a_key_is_no_name_that_a_configuration_reaches(clock, clean_configuration):
    configure({"circuit_breakers": {"payments": {"failure_threshold": 77}}})
    assert keyed(clock).for_key("payments").config.failure_threshold == 1
    assert CircuitBreaker("payments").config.failure_threshold == 77


def test_rejections_name_the_key(clock):
    breakers = keyed(clock)
    fail(breakers.for_key(42))
    with pytest.raises(CircuitOpenError, match="42"), breakers.for_key(42):
        pytest.fail("an open breaker let a block run")


def test_threads_that_ask_at_once_get_the_same_breaker(clock):
    breakers = keyed(clock, max_keys=50)
    start = threading.Barrier(4)
    found = []

    def ask():
        start.wait()
        found.append([breakers.for_key(number % 40) for number in range(2000)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(map(id, each)) for each in found}) == 1
    assert len(breakers) == 40


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"max_keys": 0}, ValueError, "max_keys must be a whole number in"),
        ({"max_keys": 2.5}, TypeError, "max_keys must be a whole number"),
        ({"max_keys": True}, TypeError, "max_keys must be a whole number"),
        ({"idle_ttl": 0}, ValueError, "idle_ttl must be a number of seconds > 0"),
        ({"idle_ttl": float("nan")}, ValueError, "idle_ttl must be a number of seconds > 0"),
        ({"idle_ttl": "1h"}, TypeError, "idle_ttl must be a number of seconds"),
        ({"config": {}}, TypeError, "config must be a CircuitBreakerConfig"),
        ({"clock": 3}, TypeError, "clock must be a Clock"),
    ],
)
def test_bad_settings_are_refused_at_construction(settings, error, says):
    with pytest.raises(error, match=says):
        KeyedCircuitBreaker(**settings)


def test_a_key_that_cannot_be_hashed_is_a_type_error(clock):
    with pytest.raises(TypeError, match="unhashable"):
        keyed(clock).for_key([])


RESIDENT = """
import sys
from resilience import CircuitBreakerConfig, KeyedCircuitBreaker
def resident():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Rss"):
            return int(line.split()[1]) * 1024
def fill(breakers, used):
    for number in range(10_000):
        breaker = breakers.for_key(f"customer-{number:06d}")
        if used:
            breaker.record_success(0.01)
            breaker.record_failure(OSError(), 0.02)
config = CircuitBreakerConfig(failure_threshold=5)
first = KeyedCircuitBreaker(config)
fill(first, True)
before = resident()
second = KeyedCircuitBreaker(config)
fill(second, sys.argv[1] == "used")
print((resident() - before) / 10_000)
"""


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux to tell resident memory"
)
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer pads every allocation"
)
@pytest.mark.parametrize("use", ["fresh", "used"])
def test_ten_thousand_keys_take_at_most_a_kibibyte_each_with_all_that_belongs_to_them(use):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", RESIDENT, use]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert 0 < float(output) <= 1024
