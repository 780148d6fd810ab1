"""Ways to batch without handling a batcher: a decorator, a helper for lists, and two ready-made batchers."""

import asyncio
import functools
import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from resilience._batcher import RequestBatcher

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

llm_batcher = RequestBatcher(5, 100, name="llm_batcher")
embedding_batcher = RequestBatcher(20, 50, name="embedding_batcher")


def batched(
    batch_size: int = 10, batch_timeout_ms: float = 50, **settings: Any
) -> Callable[[Callable[..., Awaitable[Sequence[R]]]], Callable[..., Coroutine[Any, Any, R]]]:
    """Turn `async def f(items: list) -> list` into `async def f(item)`.

    On a method, each instance has a batcher of its own. The batcher of a function is its `batcher` attribute; the one
    of a method's instance is `batcher_of(instance)`. With `dedupe`, the item is its own id.

    Args:
        batch_size: as of `RequestBatcher`.
        batch_timeout_ms: as of `RequestBatcher`.
        **settings: any other keyword of `RequestBatcher`.

    Raises:
        TypeError: when a setting is of the wrong type, or what is decorated takes anything but the list of items.
        ValueError: when a setting is out of range.
    """
    build = functools.partial(RequestBatcher, batch_size, batch_timeout_ms, **settings)
    build()  # refuses bad settings here, not where an instance first uses its method

    def decorate(function: Callable[..., Awaitable[Sequence[R]]]) -> Callable[..., Coroutine[Any, Any, R]]:
        parameters = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        ]
        if len(parameters) not in (1, 2):
            raise TypeError("batched needs a function of one list, or a method of self and one list")
        wrap = _batched_function if len(parameters) == 1 else _batched_method
        return wrap(function, build)

    return decorate


def _shown_as(function: Callable[..., Any]) -> Callable[[F], F]:
    """Name a function after the one that it calls; its own signature stays, for it takes an item, not a list."""
    own_ones = {"__annotations__", "__annotate__"}  # the latter since 3.14
    names = [name for name in functools.WRAPPER_ASSIGNMENTS if name not in own_ones]

    def show(one: F) -> F:
        own = inspect.signature(one)
        functools.update_wrapper(one, function, assigned=names)
        one.__signature__ = own  # type: ignore[attr-defined]
        return one

    return show


def _batched_function(
    function: Callable[..., Awaitable[Sequence[R]]], build: Callable[..., RequestBatcher]
) -> Callable[..., Coroutine[Any, Any, R]]:
    batcher = build(function)

    @_shown_as(function)
    async def one(item: Any) -> R:
        result: R = await batcher.add_request(item, item)
        return result

    one.batcher = batcher  # type: ignore[attr-defined]
    return one


def _batched_method(
    function: Callable[..., Awaitable[Sequence[R]]], build: Callable[..., RequestBatcher]
) -> Callable[..., Coroutine[Any, Any, R]]:
    batchers: weakref.WeakKeyDictionary[Any, RequestBatcher] = weakref.WeakKeyDictionary()

    def batcher_of(instance: Any) -> RequestBatcher:
        batcher = batchers.get(instance)
        if batcher is None:
            owner = weakref.ref(instance)

            def process(items: list[Any]) -> Awaitable[Sequence[R]]:
                return function(owner(), items)

            batcher = batchers.setdefault(instance, build(process, name=function.__qualname__))
        return batcher

    @_shown_as(function)
    async def one(self: Any, item: Any) -> R:
        result: R = await batcher_of(self).add_request(item, item)
        return result

    one.batcher_of = batcher_of  # type: ignore[attr-defined]
    return one


async def batch_requests(
    requests: Iterable[T],
    process: Callable[[list[T]], Any],
    *,
    batch_size: int = 10,
    max_concurrent_batches: int = 8,
    **settings: Any,
) -> list[Any]:
    """Run a list of requests through one batcher and return the results in order.

    Args:
        requests: at most 1,000,000 payloads.
        process: the batch function, as of `RequestBatcher`.
        batch_size: items in a batch.
        max_concurrent_batches: batches that run at once.
        **settings: any other keyword of `RequestBatcher`.

    Raises:
        Exception: the first error of an item; what hasn't run by then is not run.
    """
    items = list(requests)
    if not items:
        return []
    settings.setdefault("max_pending", len(items))
    batcher = RequestBatcher(
        batch_size, 0, process, max_concurrent_batches=max_concurrent_batches, **settings
    )
    async with batcher:
        return await asyncio.gather(*(batcher.add_request(index, item) for index, item in enumerate(items)))
