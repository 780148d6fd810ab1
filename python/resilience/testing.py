"""Helpers for testing services that use the library."""

from resilience._core import ManualClock
from resilience._fault_injector import FaultInjector

__all__ = ["FaultInjector", "ManualClock"]
