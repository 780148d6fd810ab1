"""Which machinery a cached function gets, by its kind and by where its results are kept."""

from collections.abc import Callable
from typing import Any

from resilience._cache.caching import AsyncCaching, SyncCaching
from resilience._cache.local import Cache
from resilience._cache.options import Options
from resilience._cache.redis import RedisCache
from resilience._cache.remote_caching import RemoteCaching
from resilience._cache.signature import KeyPlan
from resilience._cache.tiered import TieredCache
from resilience._guard import Kind
from resilience._types import type_name


def check_backend(backend: Any) -> None:
    """Refuse what can't keep results.

    Raises:
        TypeError: for anything but a cache.
    """
    if not isinstance(backend, (Cache, TieredCache, RedisCache)):
        raise TypeError(
            f"backend must be a Cache, a TieredCache, a RedisCache or None, got {type_name(backend)}"
        )


def make_caching(
    kind: Kind,
    function: Callable[..., Any],
    options: Options,
    plan: KeyPlan,
    own_cache: Callable[[Any], Cache[Any, Any]],
    backend: Any,
) -> AsyncCaching | SyncCaching:
    """Return what stands behind one cached function.

    Raises:
        TypeError: for a plain function with a level in Redis, which is asynchronous.
    """
    if isinstance(backend, (TieredCache, RedisCache)):
        if kind is not Kind.COROUTINE:
            raise TypeError(f"a cache in Redis needs a coroutine function, got {function!r}")
        local = backend.local if isinstance(backend, TieredCache) else own_cache(function)
        return RemoteCaching(function, local, options, plan, backend)
    local = own_cache(function) if backend is None else backend
    return (AsyncCaching if kind is Kind.COROUTINE else SyncCaching)(function, local, options, plan)
