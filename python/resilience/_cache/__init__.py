"""Caching: the mapping, the decorator, and what both load through.

``local`` is the cache in this process, ``decorator`` puts one before a function, ``flights`` and
``sync_flights`` let one load serve many callers, ``signature`` compiles arguments into keys.
"""

from resilience._cache.decorator import cache
from resilience._cache.local import Cache

__all__ = ["Cache", "cache"]
