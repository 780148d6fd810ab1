"""Forecaster and Provisioner, as the public module offers them."""

import math
import random
import threading

import pytest

from resilience._allocator.forecaster import KINDS
from resilience.allocator import Forecast, Forecaster, Provisioner

DAY = 288  # steps of five minutes


def daily(days, seed=1, step=300.0):
    generator = random.Random(seed)
    count = int(days * 86400 / step)
    return [
        max(0.0, 100 - 80 * math.cos(2 * math.pi * i * step / 86400) + generator.gauss(0, 5))
        for i in range(count)
    ]


def test_a_forecast_has_mean_quantiles_confidence_and_trend():
    forecaster = Forecaster(step=300.0, lead_time=900.0)
    forecaster.replay(daily(8))
    forecast = forecaster.forecast(quantiles=(0.1, 0.5, 0.9))
    assert isinstance(forecast, Forecast)
    assert forecast.quantiles[0.1] < forecast.quantiles[0.5] < forecast.quantiles[0.9]
    assert 0.5 < forecast.confidence <= 1.0
    assert forecast.trend in {"increasing", "decreasing", "stable"}
    assert list(forecaster.forecast().quantiles) == [0.5, 0.9]


def test_it_beats_the_last_value_on_a_daily_load():
    loads = daily(14)
    means = Forecaster(step=300.0, lead_time=900.0).replay(loads)
    scored = range(7 * DAY, len(loads) - 3)
    mine = sum(abs(means[t] - loads[t + 3]) for t in scored)
    naive = sum(abs(loads[t] - loads[t + 3]) for t in scored)
    assert mine < 0.8 * naive


def test_observing_one_by_one_and_replaying_are_the_same():
    loads = [*daily(3), None, None, *daily(1, seed=2)]
    one = Forecaster(step=300.0, lead_time=900.0)
    for load in loads:
        one.observe(load)
    other = Forecaster(step=300.0, lead_time=900.0)
    other.replay(loads)
    assert one.forecast() == other.forecast()
    assert len(one) == len(loads)


def test_before_the_first_value_it_expects_nothing():
    forecast = Forecaster(step=60.0, lead_time=900.0).forecast()
    assert forecast == Forecast(0.0, {0.5: 0.0, 0.9: 0.0}, 0.0, "stable")


def test_similar_periods_is_the_mean_of_the_hour():
    monday = 4 * 86400.0
    forecaster = Forecaster(step=60.0, lead_time=60.0, kind="similar_periods", start_time=monday)
    for _ in range(60):
        forecaster.observe(10.0)
    assert forecaster.forecast().confidence == 0.0
    for i in range(4):
        forecaster.observe(100.0 + i)
    assert forecaster.forecast().mean == pytest.approx(101.5)
    assert forecaster.forecast().confidence == pytest.approx(0.4)
    assert forecaster.forecast().trend == "increasing"


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_and_smallest_loads_leave_every_forecast_finite(kind):
    forecaster = Forecaster(step=3600.0, lead_time=3600.0, kind=kind)
    for i in range(400):
        forecaster.observe((1e15, 0.0, 5e-324, None, 1.0)[i % 5])
        seen = forecaster.forecast()
        assert all(math.isfinite(x) for x in (seen.mean, seen.confidence, *seen.quantiles.values()))
    with pytest.raises(ValueError, match="at most 1e15"):
        forecaster.observe(1.1e15)
    assert len(forecaster) == 400


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf])
def test_values_that_are_no_load_are_refused_and_change_nothing(value):
    forecaster = Forecaster(step=60.0, lead_time=60.0)
    with pytest.raises(ValueError, match="value must be a finite number >= 0"):
        forecaster.observe(value)
    with pytest.raises(ValueError, match="values must be"):
        forecaster.replay([1.0, value])
    assert len(forecaster) == 0


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"step": 0.0}, ValueError, r"step must be a number of seconds in \[1, 86400\], got 0"),
        ({"step": math.nan}, ValueError, "step must be"),
        ({"step": "60"}, TypeError, "step must be a number"),
        ({"lead_time": -1.0}, ValueError, "lead_time must be"),
        ({"lead_time": True}, TypeError, "lead_time must be"),
        ({"start_time": math.inf}, ValueError, "start_time must be"),
        ({"kind": "oracle"}, ValueError, "kind must be one of ensemble, similar_periods"),
        ({"kind": None}, TypeError, "kind must be"),
    ],
)
def test_a_forecaster_refuses_bad_settings_by_name(settings, error, message):
    with pytest.raises(error, match=message):
        Forecaster(**{"step": 60.0, "lead_time": 900.0, **settings})


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1, math.nan])
def test_quantiles_lie_between_0_and_1(quantile):
    with pytest.raises(ValueError, match="quantiles must be"):
        Forecaster(step=60.0, lead_time=60.0).forecast((quantile,))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"capacity_per_unit": 0.0}, ValueError, "capacity_per_unit must be"),
        ({"target_utilization": 1.1}, ValueError, "target_utilization must be"),
        ({"start_delay": 0.0}, ValueError, "start_delay must be"),
        ({"min_units": -1}, ValueError, "min_units must be"),
        ({"max_units": 0}, ValueError, "max_units must be"),
        ({"max_units": 2.5}, TypeError, "max_units must be a whole number"),
        ({"min_units": 9, "max_units": 8}, ValueError, "max_units must be"),
    ],
)
def test_a_provisioner_refuses_bad_settings_by_name(settings, error, message):
    forecaster = Forecaster(step=60.0, lead_time=900.0)
    with pytest.raises(error, match=message):
        Provisioner(
            forecaster, **{"capacity_per_unit": 1.0, "start_delay": 900.0, "max_units": 10, **settings}
        )
    with pytest.raises(TypeError, match="forecaster must be a Forecaster"):
        Provisioner(None, capacity_per_unit=1.0, start_delay=900.0, max_units=10)


def provisioner(**settings):
    forecaster = Forecaster(step=300.0, lead_time=900.0)
    return Provisioner(
        forecaster, **{"capacity_per_unit": 10.0, "start_delay": 900.0, "max_units": 100, **settings}
    )


def test_for_the_first_day_it_is_the_reactive_rule():
    machine = provisioner()
    loads = daily(1)
    for t, load in enumerate(loads):
        expected = max(1, math.ceil(max(loads[max(0, t - 2) : t + 1]) / 7.0 - 1e-9))
        assert machine.observe(load) == expected
    assert machine.explain()["rule"] == "reactive"


def test_it_serves_a_daily_load_with_fewer_cold_units_than_the_reactive_rule():
    machine, loads = provisioner(), daily(21)
    targets, reactive = [], []
    for load in loads:
        targets.append(machine.observe(load))
        reactive.append(machine.explain()["reactive_units"])

    def cold(units):
        return sum(
            max(0, math.ceil(loads[t] / 10.0) - min(units[t - 3 : t])) for t in range(7 * DAY, len(loads))
        )

    assert cold(targets) <= cold(reactive)
    assert sum(targets[7 * DAY :]) < 1.03 * sum(reactive[7 * DAY :])


def test_a_gap_gives_no_unit_back():
    machine = provisioner()
    before = machine.replay(daily(3))[-1]
    for _ in range(50):
        units = machine.observe(None)
        assert units >= before
        before = units


def test_units_stay_within_the_limits():
    units = provisioner(min_units=4, max_units=9).replay([0.0] * 50 + [1e9] * 50 + [0.0] * 300)
    assert min(units) == 4
    assert max(units) == 9


def test_threads_may_share_a_forecaster():
    forecaster = Forecaster(step=60.0, lead_time=900.0)

    def feed():
        for i in range(500):
            forecaster.observe(float(i))
            forecaster.forecast()

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(forecaster) == 2000


def test_a_new_start_delay_is_planned_for():
    machine = provisioner()
    machine.replay(daily(3))
    machine.set_start_delay(1800.0)
    assert machine.observe(50.0) >= 1
    with pytest.raises(ValueError, match="start_delay must be"):
        machine.set_start_delay(0.0)
