"""Predictive allocation: forecasts of a load, and resources resized before it comes."""

from resilience._allocator.actuators import adaptive_limit_size, bulkhead_size, cache_size
from resilience._allocator.binder import Apply
from resilience._allocator.forecaster import Forecast, Forecaster, Provisioner
from resilience._allocator.metrics import RequestSource, ResourceMetrics
from resilience._allocator.resource_allocator import PredictiveResourceAllocator
from resilience._allocator.workers import WorkerProcesses, worker_processes

resource_allocator = PredictiveResourceAllocator()
"""The process's allocator: give it a `metrics_source`, bind resources to it and start it."""

__all__ = [
    "Apply",
    "Forecast",
    "Forecaster",
    "PredictiveResourceAllocator",
    "Provisioner",
    "RequestSource",
    "ResourceMetrics",
    "WorkerProcesses",
    "adaptive_limit_size",
    "bulkhead_size",
    "cache_size",
    "resource_allocator",
    "worker_processes",
]
