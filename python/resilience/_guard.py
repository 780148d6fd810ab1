"""Putting functions under a policy: one way for every decorator of the library."""

import enum
import functools
import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from resilience import _core
from resilience._fork import fork_safe_lock
from resilience._streams import GuardedAsyncGenerator, GuardedGenerator
from resilience._types import type_name


class Kind(enum.IntEnum):
    """Kinds of functions, in the order of the core's enum."""

    COROUTINE = 0
    PLAIN = 1
    ASYNC_GENERATOR = 2
    GENERATOR = 3


def _without_partials(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def kind_of(function: Any) -> Kind:
    """Tell what calling `function` gives: what it is, or what its ``__call__`` is."""
    function = _without_partials(function)
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(candidate):
            return Kind.COROUTINE
        if inspect.isasyncgenfunction(candidate):
            return Kind.ASYNC_GENERATOR
        if inspect.isgeneratorfunction(candidate):
            awaits = candidate.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE  # under types.coroutine
            return Kind.COROUTINE if awaits else Kind.GENERATOR
    return Kind.PLAIN


def check_fallback(answer: Any, kind: Kind) -> None:
    """Raise ``TypeError`` for a fallback that has to be awaited, above a function of a kind that isn't."""
    plain = kind in {Kind.PLAIN, Kind.GENERATOR}
    if plain and callable(answer) and kind_of(answer) in {Kind.COROUTINE, Kind.ASYNC_GENERATOR}:
        raise TypeError("an async fallback can't answer for a plain function")


_SHOWN = ("__name__", "__code__", "__defaults__", "__kwdefaults__", "__annotations__")


def show_kind(wrapper: Any, function: Any) -> None:
    """Let `inspect` see the kind of a wrapped partial or callable object, which tells neither itself."""
    function = _without_partials(function)
    if not hasattr(function, "__code__"):
        function = getattr(function, "__call__", None)  # noqa: B004
    for name in _SHOWN:
        if not hasattr(wrapper, name) and hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))


_STREAMS: dict[Kind, Callable[..., Any]] = {
    Kind.ASYNC_GENERATOR: GuardedAsyncGenerator,
    Kind.GENERATOR: GuardedGenerator,
}


def protect(guard: _core.Guard, function: Any) -> Any:
    """Return `function` under `guard`: of the same kind, and in every look at it the same function.

    Raises:
        TypeError: when `function` can't be called.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(protect(guard, function.__func__))
    if not callable(function):
        raise TypeError(f"a policy decorates a function, got {type_name(function)} {function!r}")
    kind = kind_of(function)
    streams = getattr(guard, "_streams", _STREAMS)
    wrapper = guard._wrap(function, kind, streams.get(kind))  # noqa: SLF001
    if kind is not Kind.PLAIN and not hasattr(function, "__code__"):
        show_kind(wrapper, function)
    _remember(wrapper)
    return wrapper


@dataclass(frozen=True, slots=True)
class ProtectedFunction:
    """A function that a policy decorates.

    Attributes:
        module: where it was defined.
        qualname: its name in that module.
        file: the source file.
        breaker: the circuit breaker's name, ``None`` when the policy has none.
    """

    module: str
    qualname: str
    file: str
    breaker: str | None


_protected: list[weakref.ref[Any]] = []
_protected_lock = fork_safe_lock()


def _remember(wrapper: Any) -> None:
    with _protected_lock:
        if len(_protected) % 256 == 0:  # drop those that are gone, now and then
            _protected[:] = [reference for reference in _protected if reference() is not None]
        _protected.append(weakref.ref(wrapper))


def _alive() -> Iterator[Any]:
    with _protected_lock:
        references = list(_protected)
    return (wrapper for reference in references if (wrapper := reference()) is not None)


def functions_under(guard: _core.Guard) -> Iterator[Any]:
    """The functions that `guard` decorates and that still exist."""
    return (wrapper.__wrapped__ for wrapper in _alive() if wrapper.__guard__ is guard)


def _source_file(function: Any) -> str:
    code = getattr(inspect.unwrap(_without_partials(function)), "__code__", None)
    return code.co_filename if code is not None else "<unknown>"


def protected_functions() -> list[ProtectedFunction]:
    """List the functions that are decorated with a policy and still exist, oldest first."""
    return [
        ProtectedFunction(
            module=getattr(wrapper, "__module__", None) or "<unknown>",
            qualname=getattr(wrapper, "__qualname__", type_name(wrapper)),
            file=_source_file(wrapper.__wrapped__),
            breaker=getattr(wrapper.__guard__, "breaker_name", None),
        )
        for wrapper in _alive()
    ]
