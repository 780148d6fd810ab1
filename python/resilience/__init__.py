"""Resilience for asyncio: circuit breakers, retries, limits, batching, caching, allocation."""

from resilience._core import Clock

__version__ = "0.1.0"
__all__ = ["Clock"]
