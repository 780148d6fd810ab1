"""Helpers for testing services that use the library."""

from resilience._core import ManualClock

__all__ = ["ManualClock"]
