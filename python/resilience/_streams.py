"""Generators as one guarded call: admitted at the first item, settled when the stream ends.

Exhausted is a success, an error counts as it does for a call. A consumer that leaves early (``break``, ``aclose``, or
no longer holding the stream) has a success when at least one item came; else nothing is known and the permit is given
back. An error that the consumer throws in and that comes back out is the consumer's, and counts for nothing either.

These are classes and not generators around generators, so that a stream that nobody holds any more gives its permit
back at once, not when an event loop finds the time to close it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from resilience._types import MISSING
from resilience.errors import RejectedError


class _Run:
    """One admission and its end, whichever way it comes first."""

    __slots__ = ("_items", "_policy", "_running", "_token", "busy", "started")

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._token: Any = None
        self._items = 0
        self._running = False
        self.started = False  # the first item was asked for
        self.busy = False  # somebody waits for an item: others are told so and change nothing

    def start(self) -> None:
        self.started = True
        self._token = self._policy._admit()  # noqa: SLF001 - policies and their streams are one
        self._running = True

    def fallback(self, args: Any, kwargs: Any) -> Any:
        """What answers for a stream that was rejected, ``MISSING`` when nothing does."""
        answer = self._policy.config.fallback
        return answer(*args, **kwargs) if callable(answer) else answer

    def item(self) -> None:
        self._items += 1

    def end(self, error: BaseException | None, *, released: bool = False) -> None:
        self.started = True
        if self._running:
            self._running = False
            self._policy._settle(self._token, error, released)  # noqa: SLF001

    def leave(self) -> None:
        """Nobody wants the rest."""
        self.end(None, released=self._items == 0)

    def fail(self, error: BaseException, thrown: BaseException | None) -> None:
        if isinstance(error, GeneratorExit):
            self.leave()
        else:
            self.end(error, released=error is thrown)


def _as_exception(kind: Any, value: Any, trace: TracebackType | None) -> BaseException:
    """What ``throw(kind, value, trace)`` of a generator raises."""
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    else:
        error = kind() if value is None else kind(value)
    return error if trace is None else error.with_traceback(trace)


class _Stream:
    """What streams of both kinds have in common."""

    _kind: str  # prefix of a generator's own attributes: ag_frame, gi_code
    _inner: Any = None

    def __init__(self, policy: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._run = _Run(policy)
        self._call = args, kwargs
        self._inner = function(*args, **kwargs)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)

    def _check_first(self, value: Any) -> None:
        """Refuse what the generator itself would refuse, before it is admitted."""
        if value is not None and not self._run.started:
            kind = "async generator" if self._kind == "ag_" else "generator"
            raise TypeError(f"can't send non-None value to a just-started {kind}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith(self._kind):
            return getattr(self._inner, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<guarded {self._inner!r}>"

    def __del__(self) -> None:
        if self._inner is not None:
            self._run.leave()


class GuardedAsyncGenerator(_Stream, AsyncGenerator[Any, Any]):
    """An async generator under a guard."""

    _kind = "ag_"

    async def _step(self, method: str, *args: Any, thrown: BaseException | None = None) -> Any:
        run = self._run
        if run.busy:
            raise RuntimeError(f"{method.strip('_')}(): asynchronous generator is already running")
        run.busy = True
        try:
            if not run.started and thrown is None:
                try:
                    run.start()
                except RejectedError:
                    await self._inner.aclose()  # it has not started and never will
                    if (answer := run.fallback(*self._call)) is MISSING:
                        raise
                    self._inner = items_of(answer)
            item = await getattr(self._inner, method)(*args)
        except StopAsyncIteration:
            run.end(None)
            raise
        except BaseException as error:
            run.fail(error, thrown)
            raise
        finally:
            run.busy = False
        run.item()
        return item

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._step("__anext__")

    def asend(self, value: Any, /) -> Coroutine[Any, Any, Any]:
        """Resume the generator with a value and return its next item."""
        self._check_first(value)
        return self._step("asend", value)

    def athrow(
        self, kind: Any, value: Any = None, trace: TracebackType | None = None, /
    ) -> Coroutine[Any, Any, Any]:
        """Raise inside the generator and return its next item."""
        error = _as_exception(kind, value, trace)
        return self._step("athrow", error, thrown=error)

    async def aclose(self) -> None:
        """End the generator early."""
        run = self._run
        if run.busy:
            raise RuntimeError("aclose(): asynchronous generator is already running")
        run.busy = True
        try:
            await self._inner.aclose()
        except BaseException as error:
            run.end(error)
            raise
        finally:
            run.busy = False
        run.leave()


class GuardedGenerator(_Stream, Generator[Any, Any, Any]):
    """A generator under a guard."""

    _kind = "gi_"

    def _step(self, method: str, *args: Any, thrown: BaseException | None = None) -> Any:
        run = self._run
        if run.busy:
            raise ValueError("generator already executing")
        run.busy = True
        try:
            if not run.started and thrown is None:
                try:
                    run.start()
                except RejectedError:
                    self._inner.close()  # it has not started and never will
                    if (answer := run.fallback(*self._call)) is MISSING:
                        raise
                    self._inner = (item for item in answer)
            item = getattr(self._inner, method)(*args)
        except StopIteration:
            run.end(None)
            raise
        except BaseException as error:
            run.fail(error, thrown)
            raise
        finally:
            run.busy = False
        run.item()
        return item

    def __next__(self) -> Any:
        return self._step("__next__")

    def send(self, value: Any, /) -> Any:
        """Resume the generator with a value and return its next item."""
        self._check_first(value)
        return self._step("send", value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """Raise inside the generator and return its next item."""
        error = _as_exception(kind, value, trace)
        return self._step("throw", error, thrown=error)

    def close(self) -> None:
        """End the generator early."""
        run = self._run
        if run.busy:
            raise ValueError("generator already executing")
        run.busy = True
        try:
            self._inner.close()
        except BaseException as error:
            run.end(error)
            raise
        finally:
            run.busy = False
        run.leave()


async def items_of(answer: Any) -> AsyncGenerator[Any, None]:
    """Items of a fallback: of an async or plain iterable, or of one that has to be awaited."""
    if hasattr(answer, "__await__"):
        answer = await answer
    if hasattr(answer, "__aiter__"):
        stream: AsyncIterator[Any] = answer
        async for item in stream:
            yield item
    else:
        for item in answer:
            yield item
