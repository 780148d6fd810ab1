"""One load: how its loader is called, and that it is counted."""

import inspect
from collections.abc import Callable, Hashable
from typing import Any, Protocol


class Counting(Protocol):
    """What counts loads: a cache."""

    loads: int
    load_failures: int


class CountedLoad:
    """Counts one load and its failure."""

    __slots__ = ("_cache",)

    def __init__(self, cache: Counting) -> None:
        self._cache = cache

    def __enter__(self) -> None:
        self._cache.loads += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            self._cache.load_failures += 1


def call_loader(loader: Callable[..., Any], key: Hashable) -> Any:
    """Call a loader with the key where it asks for one: a default is its own business (``lambda key=key: …``)."""
    try:
        parameters = inspect.signature(loader).parameters.values()
    except (TypeError, ValueError):  # built in, without a signature
        return loader(key)
    asks = any(
        parameter.kind <= parameter.VAR_POSITIONAL and parameter.default is parameter.empty
        for parameter in parameters
    )
    return loader(key) if asks else loader()
