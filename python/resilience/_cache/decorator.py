"""The ``cache`` decorator."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from resilience import _core
from resilience._cache.backends import check_backend, make_caching
from resilience._cache.caching import BoundCached
from resilience._cache.failures import CachedFailure
from resilience._cache.local import Cache
from resilience._cache.options import Options
from resilience._cache.redis import RedisCache
from resilience._cache.signature import KeyPlan, compile_signature
from resilience._cache.tiered import TieredCache
from resilience._guard import Kind, kind_of, show_kind
from resilience._types import type_name

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Cached(Protocol[P, R_co]):
    """A cached function; on a method, its arguments are those after ``self``."""

    @property
    def cache(self) -> Cache[Any, Any]:
        """Where the results are kept in this process."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result for these arguments; True when it was there."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Load the result for these arguments now, and return it."""

    def stats(self) -> dict[str, Any]:
        """Return the cache's figures."""


@overload
def cache(function: Callable[P, R_co], /) -> Cached[P, R_co]: ...
@overload
def cache(
    ttl: float | None = None,
    *,
    ttl_of: Callable[[Any], float | None] | None = None,
    max_entries: int = 1024,
    max_bytes: int | None = None,
    weigher: Callable[[Any, Any], int] | None = None,
    key: Callable[..., Hashable] | None = None,
    ignore: Iterable[str] = (),
    tags: Iterable[Hashable] | Callable[..., Iterable[Hashable]] = (),
    stale_while_revalidate: float = 0.0,
    stale_if_error: float = 0.0,
    negative_ttl: float = 0.0,
    jitter: float = 0.0,
    cache_none: bool = True,
    condition: Callable[[Any], bool] | None = None,
    keep_running: bool = False,
    backend: Cache[Any, Any] | TieredCache | RedisCache | None = None,
    name: str | None = None,
    clock: _core.Clock | None = None,
) -> Callable[[Callable[P, R_co]], Cached[P, R_co]]: ...
def cache(
    ttl: Any = None,
    *,
    ttl_of: Callable[[Any], float | None] | None = None,
    max_entries: int = 1024,
    max_bytes: int | None = None,
    weigher: Callable[[Any, Any], int] | None = None,
    key: Callable[..., Hashable] | None = None,
    ignore: Iterable[str] = (),
    tags: Iterable[Hashable] | Callable[..., Iterable[Hashable]] = (),
    stale_while_revalidate: float = 0.0,
    stale_if_error: float = 0.0,
    negative_ttl: float = 0.0,
    jitter: float = 0.0,
    cache_none: bool = True,
    condition: Callable[[Any], bool] | None = None,
    keep_running: bool = False,
    backend: Cache[Any, Any] | TieredCache | RedisCache | None = None,
    name: str | None = None,
    clock: _core.Clock | None = None,
) -> Any:
    """Keep the results of a function, or of a coroutine function, by its arguments.

    Arguments are bound to the signature, so ``f(1, b=2)`` and ``f(a=1, b=2)`` are one key; ``1``, ``True`` and
    ``1.0`` are three. Callers that miss at the same time share one load, which a cancelled caller does not cancel;
    it ends when the last one leaves. A load that began before an invalidation is not stored. Methods don't keep
    their instance alive.

    Args:
        ttl: seconds that a result lives from the end of its load; ``None`` for ever.
        ttl_of: seconds that one result lives, from the result; ``None`` means `ttl`.
        max_entries: most results.
        max_bytes: most bytes of arguments and results, as `weigher` counts them.
        weigher: bytes of a key and a result; ``sys.getsizeof`` of both by default.
        key: makes the key from the arguments instead.
        ignore: names of parameters that are no part of the key.
        tags: for ``cache.invalidate_tags``: tags (``"user:{user_id}"`` names a parameter), or a function of the
            arguments.
        stale_while_revalidate: seconds after its expiry that a result is still served, while one load renews it.
        stale_if_error: seconds after its expiry that a result answers for a load that failed.
        negative_ttl: seconds that a failure is remembered, and raised again.
        jitter: fraction of the ttl by which it may be shorter, to spread expiry.
        cache_none: whether ``None`` is kept.
        condition: a predicate on results; where it is false the result is not kept, nor believed when Redis has it.
        keep_running: finish a load that nobody waits for any more.
        backend: keep the results there instead of in a cache of the function's own.
        name: of the cache, for metrics; the function's by default.
        clock: where time comes from; the system's clock when ``None``.

    Raises:
        ValueError: for an argument out of its range.
        TypeError: for an argument of the wrong type, and for generators, which can't be cached.
    """
    bare = callable(ttl) or isinstance(ttl, (staticmethod, classmethod))
    function, ttl = (ttl, None) if bare else (None, ttl)
    options = Options(
        ttl=ttl,
        ttl_of=ttl_of,
        stale_while_revalidate=stale_while_revalidate,
        stale_if_error=stale_if_error,
        negative_ttl=negative_ttl,
        jitter=jitter,
        cache_none=cache_none,
        condition=condition,
        keep_running=keep_running,
        key=key,
        ignore=ignore,
        tags=tags,
    )

    def own_cache(of: Callable[..., Any]) -> Cache[Any, Any]:
        title = name if name is not None else getattr(of, "__qualname__", None)
        return Cache(max_entries, ttl=ttl, max_bytes=max_bytes, weigher=weigher, name=title, clock=clock)

    if backend is None:
        own_cache(cache)  # refuses bad arguments here, not where a function is decorated
    else:
        check_backend(backend)

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        return _wrap(function, options, own_cache, backend)

    return decorate if function is None else decorate(function)


def _wrap(function: Any, options: Options, own_cache: Callable[[Any], Cache[Any, Any]], backend: Any) -> Any:
    if not callable(function):
        raise TypeError(f"cache decorates a function, got {type_name(function)} {function!r}")
    kind = kind_of(function)
    if kind not in {Kind.COROUTINE, Kind.PLAIN}:
        raise TypeError(f"cache can't keep what a generator yields: {function!r}")
    plan = compile_signature(function, options.ignore)
    caching = make_caching(kind, function, options, plan, own_cache, backend)
    wrapped: Any = _core.make_cached_function(
        function,
        kind is Kind.COROUTINE,
        None if isinstance(caching.backend, RedisCache) else caching.local,
        options.key,
        caching.load,
        CachedFailure,
        BoundCached,
        plan.native(),
    )

    if kind is Kind.COROUTINE and not hasattr(function, "__code__"):
        show_kind(wrapped, function)

    def invalidate(*args: Any, **kwargs: Any) -> Any:
        return caching.invalidate_key(wrapped._key(*args, **kwargs))  # noqa: SLF001

    def refresh(*args: Any, **kwargs: Any) -> Any:
        return caching.refresh(wrapped._key(*args, **kwargs), args, kwargs)  # noqa: SLF001

    if _is_method(function, plan):
        wrapped.__set_name__(None, function.__name__)  # a decorator above it would keep Python from telling

    wrapped.cache = caching.backend
    wrapped.invalidate = invalidate
    wrapped.refresh = refresh
    wrapped.stats = caching.stats
    return wrapped


def _is_method(function: Any, plan: KeyPlan) -> bool:
    """Tell whether a function is defined in a class for its instances."""
    home = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(home) and not home.endswith("<locals>") and plan.names[:1] == ("self",)
