"""The allocator: what it decides, applies, records and tells."""

import asyncio
import math

import pytest

from resilience._core import ManualClock
from resilience.allocator import PredictiveResourceAllocator, ResourceMetrics, resource_allocator

MIDNIGHT = 20_000 * 86_400.0  # a Monday would be 19_999 + 4


def allocator(**settings):
    return PredictiveResourceAllocator(**{"clock": ManualClock(MIDNIGHT), **settings})


def busy(rpm=140.0, connections=50.0, **more):
    return {"rpm": rpm, "connections": connections, "response_time": 0.2, **more}


def sizes(machine):
    return tuple(machine.get_predictions()["current_allocations"].values())


def test_predictions_have_the_fixed_shape():
    seen = allocator().get_predictions()
    assert seen["predictions"].keys() >= {
        "expected_connections", "expected_rpm", "expected_response_time", "confidence", "trend",
    }  # fmt: skip
    assert seen["current_allocations"] == {"workers": 5, "connections": 20, "cache_size_mb": 100}
    assert seen["resource_limits"] == {"max_workers": 20, "max_connections": 100, "max_cache_size_mb": 500}
    assert seen["history_size"] == 0
    assert seen["optimization_status"] == "inactive"
    assert seen["predictions"]["trend"] == "stable"


def test_the_global_allocator_starts_with_the_documented_sizes():
    assert isinstance(resource_allocator, PredictiveResourceAllocator)
    assert sizes(resource_allocator) == (5, 20, 100)


def test_under_a_day_it_behaves_like_the_reactive_rule_and_says_so():
    machine = allocator()
    machine.observe(busy(rpm=70.0))
    assert sizes(machine)[0] == 10  # 70 / (10 * 0.7)
    assert machine.get_predictions()["rule"] == "reactive"
    assert machine.audit()[0]["rule"] == "reactive"


def test_metrics_may_be_a_dataclass_a_mapping_or_any_object():
    class Elsewhere:
        requests_per_minute = 70
        active_connections = 3

    for metrics in (ResourceMetrics(rpm=70.0), {"requests_per_minute": 70}, Elsewhere()):
        machine = allocator()
        machine.observe(metrics)
        assert machine.get_predictions()["predictions"]["expected_rpm"] == 70.0


def test_a_figure_that_is_no_number_is_refused_and_nothing_is_recorded():
    machine = allocator()
    with pytest.raises(TypeError, match="rpm must be a number"):
        machine.observe({"rpm": "many"})
    with pytest.raises(ValueError, match="rpm must be a finite number"):
        machine.observe({"rpm": -1.0})
    assert machine.get_predictions()["history_size"] == 0


def test_bound_resources_really_change_size():
    machine = allocator()
    workers, connections = [], []
    machine.bind("workers", workers.append)
    machine.bind("connections", connections.append)
    machine.observe(busy())
    assert (workers, connections) == ([20], [63])
    assert [entry["outcome"] for entry in machine.audit()] == ["applied", "applied"]


def test_the_size_that_is_read_back_is_the_one_on_record():
    machine = allocator()
    machine.bind("workers", lambda size: size - 2)
    machine.observe(busy())
    assert sizes(machine)[0] == 18


def test_an_apply_that_fails_is_reported_and_rolled_back(caplog):
    machine, pool = allocator(), [5]
    machine.bind("workers", pool.append)

    def broken(size):
        raise OSError("no such process")

    machine.bind("workers", broken)
    machine.observe(busy())
    assert sizes(machine) == (5, 63, 100)
    assert pool == [5, 20, 5]
    assert machine.audit()[0]["outcome"] == "failed"
    problem = machine.get_predictions()["problems"][0]
    assert problem["kind"] == "apply_failed"
    assert "no such process" in problem["detail"]
    assert "resizing workers to 20 failed" in caplog.text


def test_a_failed_change_is_tried_again():
    machine, attempts = allocator(), []

    def flaky(size):
        attempts.append(size)
        if len(attempts) == 1:
            raise OSError("busy")

    machine.bind("workers", flaky)
    machine.observe(busy())
    machine.observe(busy())
    assert attempts == [20, 20]
    assert sizes(machine)[0] == 20


def test_an_apply_that_returns_nonsense_is_a_failure(caplog):
    machine = allocator()
    machine.bind("workers", lambda size: "twenty")
    machine.observe(busy())
    assert sizes(machine)[0] == 5
    assert "apply must return the actual size or None" in caplog.text


async def test_an_awaitable_apply_is_awaited_and_its_time_learned():
    machine, started = allocator(), asyncio.Event()

    async def start(size):
        await started.wait()
        return size

    machine.bind("workers", start)
    machine.observe(busy())
    assert sizes(machine)[0] == 5
    machine.observe(busy())  # the change under way is not doubled
    started.set()
    await machine.stop_monitoring()
    assert sizes(machine)[0] == 20
    assert machine.get_predictions()["start_delay"]["workers"] == 1.0
    assert next(entry["outcome"] for entry in machine.audit() if entry["resource"] == "workers") == "applied"


async def test_an_awaitable_apply_that_fails_is_rolled_back(caplog):
    machine = allocator()

    async def broken(size):
        raise OSError("gone")

    machine.bind("workers", broken)
    machine.observe(busy())
    await machine.stop_monitoring()
    assert sizes(machine)[0] == 5
    assert machine.audit()[0]["outcome"] == "failed"


def test_an_awaitable_without_a_loop_is_a_failure(caplog):
    machine = allocator()

    async def start(size):
        return size

    machine.bind("workers", start)
    machine.observe(busy())
    assert sizes(machine)[0] == 5
    assert "needs a running event loop" in machine.get_predictions()["problems"][0]["detail"]


def test_unbinding_ends_the_resizing():
    machine, seen = allocator(), []
    unbind = machine.bind("workers", seen.append)
    unbind()
    unbind()
    machine.observe(busy())
    assert seen == []


def test_it_scales_down_as_well_as_up_with_hysteresis():
    machine, seen = allocator(lead_time=60.0), []
    machine.bind("workers", seen.append)
    machine.observe(busy())
    for _ in range(16):
        machine.observe(busy(rpm=7.0))
    assert seen == [20]
    for _ in range(4):
        machine.observe(busy(rpm=7.0))
    assert seen == [20, 1]


def test_shadow_only_forecasts():
    machine, seen = allocator(shadow=True), []
    machine.bind("workers", seen.append)
    machine.observe(busy())
    assert seen == []
    assert sizes(machine) == (5, 20, 100)
    assert machine.audit()[0]["outcome"] == "shadow"
    assert machine.get_predictions()["predictions"]["expected_rpm"] == 140.0


def test_each_decision_is_explained():
    machine = allocator()
    machine.observe(busy())
    entry = machine.audit()[0]
    assert entry["resource"] == "workers"
    assert (entry["from"], entry["to"]) == (5, 20)
    assert entry["measured"] == entry["forecast"] == 140.0
    assert entry["quantile"] == 0.9
    assert entry["time"] == MIDNIGHT


def test_similar_periods_acts_as_documented_sample_by_sample():
    machine = allocator(forecaster="similar_periods", lead_time=60.0)
    for step in range(90):
        machine.observe(busy(rpm=150.0, connections=40.0))
        similar = max(0, step + 1 - 60)  # the target is the next minute, its hour begins at step 60
        predictions = machine.get_predictions()["predictions"]
        assert predictions["confidence"] == pytest.approx(min(similar / 10, 1.0) if step >= 59 else 0.0)
        assert predictions["expected_rpm"] == 150.0
        assert sizes(machine) == ((10, 60, 100) if similar >= 5 else (5, 20, 100))


def test_similar_periods_grows_the_cache_while_the_load_increases():
    machine = allocator(forecaster="similar_periods", lead_time=60.0)
    for step in range(66):
        machine.observe(busy(rpm=10.0 + step, connections=1.0))
    assert machine.get_predictions()["predictions"]["trend"] == "increasing"
    assert sizes(machine)[2] == 200  # two steps at a confidence of 0.5 and more
    for step in range(20):
        machine.observe(busy(rpm=100.0 + step, connections=1.0))
    assert sizes(machine)[2] == 500


def test_gaps_in_history_stay_gaps():
    machine = allocator()
    machine.observe(busy(timestamp=MIDNIGHT))
    machine.observe(busy(timestamp=MIDNIGHT + 600))
    machine.observe(None)
    assert machine.get_predictions()["history_size"] == 12


def test_history_holds_as_many_days_as_asked_for():
    machine = allocator(history_days=1)
    for _ in range(1500):
        machine.observe(busy(rpm=1.0, connections=1.0))
    assert machine.get_predictions()["history_size"] == 1440


def test_a_backtest_compares_with_the_reactive_rule_and_a_static_peak():
    machine = allocator(interval=600.0)
    for step in range(6 * 144):
        machine.observe({"rpm": 100 - 80 * math.cos(2 * math.pi * step / 144)})
    result = machine.backtest()
    assert result["steps"] == 4 * 144
    assert result["predictive"]["cold_unit_steps"] <= result["reactive"]["cold_unit_steps"]
    assert result["predictive"]["unit_hours"] < result["static"]["unit_hours"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"interval": 0}, ValueError, "interval must be"),
        ({"interval": "1m"}, TypeError, "interval must be a number"),
        ({"history_days": 29}, ValueError, r"history_days must be a number of days in \[1, 28\]"),
        ({"limits": {"workers": 3}}, ValueError, "limits must have keys of max_workers"),
        ({"limits": {"max_workers": 0}}, ValueError, "limits max_workers must be"),
        ({"limits": {"max_workers": 2.5}}, TypeError, r"limits\['max_workers'\] must be"),
        ({"initial": {"workers": 21}}, ValueError, "initial workers must be"),
        ({"initial": {"threads": 1}}, ValueError, "initial must have keys of workers"),
        ({"forecaster": "oracle"}, ValueError, "forecaster must be one of"),
        ({"lead_time": 0}, ValueError, "lead_time must be"),
        ({"metrics_source": 3}, TypeError, "metrics_source must be callable"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, error, message):
    with pytest.raises(error, match=message):
        PredictiveResourceAllocator(**settings)


def test_bad_bindings_are_refused():
    machine = allocator()
    with pytest.raises(ValueError, match="resource must be one of workers, connections, cache_size_mb"):
        machine.bind("threads", print)
    with pytest.raises(TypeError, match="apply must be callable"):
        machine.bind("workers", 5)
    with pytest.raises(ValueError, match="resource must be"):
        machine.record_start("threads", 1.0)


def test_the_longest_measured_start_is_planned_for():
    machine = allocator()
    machine.record_start("workers", 30.0)
    machine.record_start("workers", 12.0)
    assert machine.get_predictions()["start_delay"]["workers"] == 30.0


def past(count=300, **more):
    return [busy(timestamp=MIDNIGHT - 60.0 * (count - step), **more) for step in range(count)]


def test_a_past_that_is_preloaded_is_learned_from_and_not_acted_on():
    machine, seen = allocator(), []
    machine.bind("workers", seen.append)
    machine.preload(past())
    assert machine.get_predictions()["history_size"] == 300
    assert machine.get_predictions()["predictions"]["expected_rpm"] == 140.0
    assert (seen, machine.audit()) == ([], [])
    machine.observe(busy(timestamp=MIDNIGHT))
    assert machine.get_predictions()["history_size"] == 301
    assert seen == [20]


def test_a_past_out_of_order_undated_or_late_is_refused_and_changes_nothing():
    machine = allocator()
    with pytest.raises(ValueError, match="needs a timestamp"):
        machine.preload([busy()])
    with pytest.raises(ValueError, match="order of time"):
        machine.preload(past(2)[::-1])
    assert machine.get_predictions()["history_size"] == 0
    machine.observe(busy())
    with pytest.raises(RuntimeError, match="preload before anything is observed"):
        machine.preload(past())
