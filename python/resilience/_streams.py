"""Generators as one guarded call: admitted at the first item, settled when the stream ends.

Exhausted is a success, an error counts as it does for a call. A consumer that leaves early (``break``, ``aclose``)
has a success when at least one item came; else nothing is known and the permit is given back. An error that
the consumer throws in and that comes back out is the consumer's, and counts for nothing either.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from resilience._contexts import Admitting


class _Run:
    """One admission and its end, whichever way it comes first."""

    __slots__ = ("_items", "_policy", "_state", "_token")

    def __init__(self, policy: Admitting) -> None:
        self._policy = policy
        self._state = "new"
        self._token: Any = None
        self._items = 0

    def start(self) -> None:
        if self._state == "new":
            self._token = self._policy._admit()  # noqa: SLF001
            self._state = "running"

    def item(self) -> None:
        self._items += 1

    def end(self, error: BaseException | None, *, released: bool = False) -> None:
        if self._state == "running":
            self._policy._settle(self._token, error, released)  # noqa: SLF001
        self._state = "ended"

    def leave(self) -> None:
        """Nobody wants the rest."""
        self.end(None, released=self._items == 0)

    def fail(self, error: BaseException, thrown: BaseException | None) -> None:
        if isinstance(error, GeneratorExit):
            self.leave()
        else:
            self.end(error, released=error is thrown)


def _as_exception(kind: Any, value: Any) -> BaseException:
    if isinstance(kind, BaseException):
        return kind
    if isinstance(value, BaseException):
        return value
    raised: BaseException = kind() if value is None else kind(value)
    return raised


class GuardedAsyncGenerator(AsyncGenerator[Any, Any]):
    """An async generator under a guard."""

    def __init__(self, policy: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        self._run = _Run(policy)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)

    async def _step(
        self, awaitable: Callable[[], Awaitable[Any]], thrown: BaseException | None = None
    ) -> Any:
        try:
            item = await awaitable()
        except StopAsyncIteration:
            self._run.end(None)
            raise
        except BaseException as error:
            self._run.fail(error, thrown)
            raise
        self._run.item()
        return item

    async def __anext__(self) -> Any:
        self._run.start()
        return await self._step(self._inner.__anext__)

    async def asend(self, value: Any, /) -> Any:
        """Resume the generator with a value and return its next item."""
        self._run.start()
        return await self._step(lambda: self._inner.asend(value))

    async def athrow(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """Raise inside the generator and return its next item."""
        error = _as_exception(kind, value)
        if trace is not None:
            error = error.with_traceback(trace)
        return await self._step(lambda: self._inner.athrow(error), error)

    async def aclose(self) -> None:
        """End the generator early."""
        try:
            await self._inner.aclose()
        except BaseException as error:
            self._run.end(error)
            raise
        self._run.leave()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("ag_"):
            return getattr(self._inner, name)
        raise AttributeError(name)

    def __del__(self) -> None:
        self._run.leave()


class GuardedGenerator(Generator[Any, Any, Any]):
    """A generator under a guard."""

    def __init__(self, policy: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._inner: Generator[Any, Any, Any] = function(*args, **kwargs)
        self._run = _Run(policy)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)

    def _step(self, step: Callable[[], Any], thrown: BaseException | None = None) -> Any:
        try:
            item = step()
        except StopIteration:
            self._run.end(None)
            raise
        except BaseException as error:
            self._run.fail(error, thrown)
            raise
        self._run.item()
        return item

    def __next__(self) -> Any:
        self._run.start()
        return self._step(self._inner.__next__)

    def send(self, value: Any, /) -> Any:
        """Resume the generator with a value and return its next item."""
        self._run.start()
        return self._step(lambda: self._inner.send(value))

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """Raise inside the generator and return its next item."""
        error = _as_exception(kind, value)
        if trace is not None:
            error = error.with_traceback(trace)
        return self._step(lambda: self._inner.throw(error), error)

    def close(self) -> None:
        """End the generator early."""
        try:
            self._inner.close()
        except BaseException as error:
            self._run.end(error)
            raise
        self._run.leave()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("gi_"):
            return getattr(self._inner, name)
        raise AttributeError(name)

    def __del__(self) -> None:
        self._run.leave()
