"""Caching: the mapping, the decorator, and what both load through.

``local`` is the cache in this process, ``decorator`` puts one before a function, ``flights`` and
``sync_flights`` let one load serve many callers, ``signature`` compiles arguments into keys. ``redis`` is a level
that processes share, ``tiered`` both levels together, ``invalidations`` the news of what other processes change.
"""

from resilience._cache.decorator import cache
from resilience._cache.local import Cache
from resilience._cache.redis import RedisCache
from resilience._cache.tiered import TieredCache

__all__ = ["Cache", "RedisCache", "TieredCache", "cache"]
