"""What the allocator promises whatever the load and the clock do."""

import asyncio
import math
import os
import random
import threading
import time

import pytest

from resilience._core import ManualClock
from resilience.allocator import Forecaster, PredictiveResourceAllocator, Provisioner

STEP, DELAY = 600.0, 2  # seconds, steps
DAY = 144
CAPACITY = 10.0


def sine(days):
    return [100 - 80 * math.cos(2 * math.pi * step / DAY) for step in range(days * DAY)]


def noise(days, seed=3):
    dice = random.Random(seed)
    return [dice.uniform(0, 200) for _ in range(days * DAY)]


def bursts(days, seed=4):
    dice = random.Random(seed)
    return [200.0 if dice.random() < 0.02 else 20.0 for _ in range(days * DAY)]


def shifted(days):
    """Return days whose rhythm starts at another hour each."""
    return [
        100 - 80 * math.cos(2 * math.pi * (step / DAY + 0.37 * (step // DAY))) for step in range(days * DAY)
    ]


def stairs(days):
    return [20.0 * (1 + step // 37 % 9) for step in range(days * DAY)]


def provision(loads):
    """Return what was decided at each step, what the reactive rule would have, and who decided."""
    forecaster = Forecaster(step=STEP, lead_time=DELAY * STEP)
    machine = Provisioner(forecaster, capacity_per_unit=CAPACITY, start_delay=DELAY * STEP, max_units=200)
    decided, reactive, rules = [], [], []
    for load in loads:
        decided.append(machine.observe(load))
        explained = machine.explain()
        reactive.append(explained["reactive_units"])
        rules.append(explained["rule"])
    return decided, reactive, rules


def cold(units, loads, first):
    return sum(
        max(0, math.ceil(loads[step] / CAPACITY - 1e-9) - min(units[step - DELAY : step]))
        for step in range(first, len(loads))
    )


@pytest.mark.parametrize("surprise", [noise, bursts, shifted, stairs])
def test_after_any_change_of_the_load_it_is_not_lastingly_worse_than_the_reactive_rule(surprise):
    loads = sine(14) + surprise(14)
    decided, reactive, _ = provision(loads)
    first = 16 * DAY
    assert cold(decided, loads, first) <= cold(reactive, loads, first)
    assert sum(decided[first:]) <= 1.05 * sum(reactive[first:])


def test_it_steps_back_to_the_reactive_rule_when_that_has_lately_been_better():
    _, _, rules = provision(sine(7) + noise(10) + stairs(21))
    assert rules[17 * DAY - 1] == "forecast"
    assert rules[-7 * DAY :].count("reactive") > 3.5 * DAY


def test_the_default_forecasts_better_than_similar_periods():
    dice = random.Random(5)
    loads = [max(0.0, dice.gauss(load, math.sqrt(load))) for load in sine(21)]

    def error(kind):
        means = Forecaster(step=STEP, lead_time=DELAY * STEP, kind=kind).replay(loads)
        return sum(abs(means[t] - loads[t + DELAY]) for t in range(14 * DAY, len(loads) - DELAY))

    assert error("ensemble") < 0.95 * error("similar_periods")


def test_a_decision_covers_the_largest_forecast_of_the_start_delay():
    spikes = [20.0, 20.0, 180.0, 20.0] * (14 * DAY // 4)
    forecaster = Forecaster(step=STEP, lead_time=4 * STEP)
    machine = Provisioner(forecaster, capacity_per_unit=CAPACITY, start_delay=4 * STEP, max_units=200)
    decided = machine.replay(spikes)
    assert min(decided[7 * DAY :]) >= 18, "each quiet step has a spike within the delay"


def test_hours_and_weekdays_are_those_of_utc_whatever_the_local_time_zone(monkeypatch):
    loads = sine(8)
    before_summer_time = 1_711_670_400.0  # 2024-03-29; clocks change two days later

    def means(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        settings = {"step": STEP, "lead_time": 3 * 3600.0, "start_time": before_summer_time}
        return [Forecaster(**settings, kind=kind).replay(loads) for kind in ("similar_periods", "ensemble")]

    try:
        assert means("Europe/Berlin") == means("UTC")
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_timestamp_an_hour_back_is_the_next_interval_and_nothing_is_lost():
    machine = PredictiveResourceAllocator(clock=ManualClock(0.0))
    noon = 20_000 * 86_400.0 + 43_200.0
    for minute in range(5):
        machine.observe({"rpm": 10.0, "timestamp": noon + 60.0 * minute})
    machine.observe({"rpm": 10.0, "timestamp": noon - 3_600.0})
    report = machine.get_predictions()
    assert report["history_size"] == 6
    assert report["last_sample_time"] == noon + 300.0


def test_a_missing_day_leaves_what_was_learned_before_it():
    gap = [None] * DAY
    kept = Forecaster(step=STEP, lead_time=DELAY * STEP)
    kept.replay(sine(14) + gap + sine(1)[: DAY // 2])
    expected = sine(1)[DAY // 2 + DELAY - 1]
    assert kept.forecast().mean == pytest.approx(expected, rel=0.1)


async def test_nothing_is_sampled_on_the_event_loop():
    threads = []

    def source():
        threads.append(threading.get_ident())
        return {"rpm": 1.0}

    machine = PredictiveResourceAllocator(metrics_source=source)
    await machine.start_monitoring()
    async with asyncio.timeout(30):
        while machine.get_predictions()["history_size"] == 0:
            await asyncio.sleep(0)
    await machine.stop_monitoring()
    assert threads
    assert threading.get_ident() not in threads


async def test_a_failing_actuator_and_a_foreign_history_lose_nothing_of_what_follows(tmp_path, caplog):
    path = tmp_path / "history"
    path.write_bytes(os.urandom(512))
    machine = PredictiveResourceAllocator(
        history_path=path, metrics_source=lambda: {"rpm": 140.0, "connections": 5.0}
    )

    def broken(size):
        raise OSError("no such pool")

    machine.bind("workers", broken)
    await machine.start_monitoring()
    async with asyncio.timeout(30):
        while len(machine.get_predictions()["problems"]) < 2:
            await asyncio.sleep(0)
    assert machine.get_predictions()["optimization_status"] == "active"
    machine.observe({"rpm": 150.0})
    await machine.stop_monitoring()
    kinds = [problem["kind"] for problem in machine.get_predictions()["problems"]]
    assert kinds[:2] == ["history_set_aside", "apply_failed"]
    again = PredictiveResourceAllocator(history_path=path)
    await again.start_monitoring()
    await again.stop_monitoring()
    assert again.get_predictions()["history_size"] >= 2
