"""Answers in place of errors."""

import inspect
from collections.abc import Callable
from typing import Any

from resilience._checks import Errors, errors, holds
from resilience._policy import Policy
from resilience.errors import ResilienceError


class Fallback(Policy):
    """Answers in place of an error; made by `fallback`, which documents it."""

    _kind = "fallback"

    def __init__(
        self,
        value_or_fn: Any,
        *,
        on: Errors | Callable[[BaseException], bool] = ResilienceError,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._answer = value_or_fn
        self._on = errors("on", on)
        self._compile(fallback=self)

    # ---- what pipelines use ----

    def _matches(self, error: BaseException) -> bool:
        """Whether `error` is answered. What ends a call or a program is not an error to answer."""
        if not isinstance(error, Exception):
            return False
        return isinstance(error, self._on) if isinstance(self._on, (type, tuple)) else holds(self._on, error)

    def _result(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The answer to a call with these arguments; an awaitable when the function was an async one."""
        return self._answer(*args, **kwargs) if callable(self._answer) else self._answer

    def _answer_sync(
        self,
        _function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: BaseException,
    ) -> Any:
        """The answer to a plain function's error, which is raised again when it is none to answer."""
        if not self._matches(error):
            raise error
        answer = self._result(args, kwargs)
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError("an async fallback can't answer for a plain function")
        return answer


def fallback(
    value_or_fn: Any,
    *,
    on: Errors | Callable[[BaseException], bool] = ResilienceError,
    name: str | None = None,
) -> Fallback:
    """Answer with something else when a call fails with one of the errors in `on`.

    Cancellation is never answered. A stream falls back only while it has not given its first item; its fallback is
    an iterable, an async iterable, or a function that makes one.

    Args:
        value_or_fn: a value, or an (async) function of the call's arguments.
        on: an exception class, a tuple of them, or a predicate; by default this library's own errors.
        name: shown in metrics.

    Returns:
        A decorator with ``call`` and ``call_sync``; also a member of a `Pipeline`.

    Raises:
        TypeError: if `on` is not what it should be.
    """
    return Fallback(value_or_fn, on=on, name=name)
