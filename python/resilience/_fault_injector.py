"""Faults on purpose, to see what policies make of them."""

import asyncio
import functools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from resilience._checks import integer, number, seconds
from resilience._core import Clock
from resilience._guard import Kind, kind_of
from resilience._waiting import SYSTEM_CLOCK, sleep, sleep_sync

F = TypeVar("F", bound=Callable[..., Any])


class FaultInjector:
    """Makes a share of calls slow, fail, hang or be cancelled; equal seeds give equal faults.

    Put it inside a pipeline, next to the function: ``@pipeline`` above ``@faults``. It decorates coroutine functions
    and plain ones, and has ``call`` and ``call_sync``.

    Args:
        error_rate: share of calls in [0, 1] that raise `error`.
        error: an exception, a class of exceptions, or a function that makes one.
        latency_rate: share of calls that take `latency` longer; also those that then fail.
        latency: seconds >= 0.
        hang_rate: share of calls that never end by themselves; for coroutine functions.
        cancel_rate: share of calls whose task is cancelled; for coroutine functions.
        seed: makes the faults repeatable.
        clock: where `latency` is measured.

    Raises:
        ValueError: if a rate is outside of [0, 1], or they exceed 1 together.
        TypeError: if an argument is of the wrong type.
    """

    def __init__(
        self,
        *,
        error_rate: float = 0.0,
        error: BaseException | Callable[[], BaseException] = ConnectionError,
        latency_rate: float = 0.0,
        latency: float = 0.0,
        hang_rate: float = 0.0,
        cancel_rate: float = 0.0,
        seed: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._latency_rate = _rate("latency_rate", latency_rate)
        self._ends = {
            "error": _rate("error_rate", error_rate),
            "hang": _rate("hang_rate", hang_rate),
            "cancel": _rate("cancel_rate", cancel_rate),
        }
        if sum(self._ends.values()) > 1.0:
            raise ValueError("error_rate, hang_rate and cancel_rate must not exceed 1 together")
        if not isinstance(error, BaseException) and not callable(error):
            raise TypeError(f"error must be an exception or make one, got {error!r}")
        self._error = error
        self._latency = seconds("latency", latency, zero=True)
        self._random = random.Random(seed if seed is None else integer("seed", seed))  # noqa: S311 # no secret
        self._clock = SYSTEM_CLOCK if clock is None else clock
        self.injected: Counter[str] = Counter()  # by kind: "latency", "error", "hang", "cancel"

    def __call__(self, function: F, /) -> F:
        """Inject faults into calls of a function.

        Raises:
            TypeError: for generators, and for plain functions with `hang_rate` or `cancel_rate`.
        """
        kind = kind_of(function)
        if kind is Kind.COROUTINE:

            @functools.wraps(function)
            async def faulty(*args: Any, **kwargs: Any) -> Any:
                return await self.call(function, *args, **kwargs)

        elif kind is Kind.PLAIN:
            if self._ends["hang"] or self._ends["cancel"]:
                raise TypeError(
                    "a plain function can't hang or be cancelled; hang_rate and cancel_rate must be 0"
                )

            @functools.wraps(function)
            def faulty(*args: Any, **kwargs: Any) -> Any:
                return self.call_sync(function, *args, **kwargs)

        else:
            raise TypeError("a fault injector takes coroutine functions and plain functions, not generators")
        return faulty  # type: ignore[return-value] # the same signature, by functools.wraps

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Await ``function(*args, **kwargs)``, or a fault."""
        slow, end = self._draw()
        if slow:
            await sleep(self._latency, self._clock)
        if end == "error":
            raise self._make_error()
        if end == "hang":
            await asyncio.get_running_loop().create_future()
        if end == "cancel":
            task = asyncio.current_task()
            if task is not None:
                task.cancel()
            await asyncio.sleep(0)
        return await function(*args, **kwargs)

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function ``function(*args, **kwargs)``, or fail."""
        kind = kind_of(function)
        if kind is Kind.COROUTINE:
            raise TypeError(f"call_sync() takes a plain function, use `await call()` for {function!r}")
        if kind is not Kind.PLAIN:
            raise TypeError(f"call_sync() takes a plain function, not one that makes a stream: {function!r}")
        slow, end = self._draw()
        if slow:
            sleep_sync(self._latency, self._clock)
        if end is not None:
            raise self._make_error()
        return function(*args, **kwargs)

    def _draw(self) -> tuple[bool, str | None]:
        """Whether this call is slow, and how it ends. Always two draws, so that rates don't shift one another."""
        slow = self._random.random() < self._latency_rate
        left = self._random.random()
        if slow:
            self.injected["latency"] += 1
        for end, rate in self._ends.items():
            if left < rate:
                self.injected[end] += 1
                return slow, end
            left -= rate
        return slow, None

    def _make_error(self) -> BaseException:
        return self._error if isinstance(self._error, BaseException) else self._error()


def _rate(name: str, value: float) -> float:
    given = number(name, value)
    if not 0.0 <= given <= 1.0:
        raise ValueError(f"{name} must be a number in [0, 1], got {value!r}")
    return given
