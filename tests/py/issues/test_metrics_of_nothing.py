"""The allocator took anything for an interval's metrics, and counted an interval in which nothing was measured."""

import pytest

from resilience import PredictiveResourceAllocator
from resilience.allocator import Forecaster, Provisioner


@pytest.mark.parametrize("metrics", [3, "rpm", {"requests": 100}, object()])
def test_what_tells_nothing_is_refused(metrics):
    allocator = PredictiveResourceAllocator()
    with pytest.raises(TypeError, match="metrics must have some of rpm, connections"):
        allocator.observe(metrics)
    assert allocator.get_predictions()["history_size"] == 0


@pytest.mark.parametrize("metrics", [None, {}, {"rpm": None}, {"active_connections": 3, "host": "a"}])
def test_gaps_and_further_keys_are_taken(metrics):
    allocator = PredictiveResourceAllocator()
    allocator.observe(metrics)
    assert allocator.get_predictions()["history_size"] == 1


def test_other_arguments_of_the_wrong_type_are_named():
    forecaster = Forecaster(step=60, lead_time=900)
    with pytest.raises(TypeError, match="shadow must be True or False"):
        PredictiveResourceAllocator(shadow="no")
    with pytest.raises(TypeError, match="guard must be True or False"):
        Provisioner(forecaster, capacity_per_unit=1, start_delay=60, max_units=5, guard=None)
    for quantiles in (0.5, "0.5", ["0.5"], [None]):
        with pytest.raises(TypeError, match="quantiles must be"):
            forecaster.forecast(quantiles)
