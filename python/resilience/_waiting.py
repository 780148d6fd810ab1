"""Waiting for a place, a turn or a time, by a coroutine or by a thread.

Policies write the rules of a wait once, as a generator that yields a `Wait`; `wait_async` and `wait_sync` perform it.
"""

import asyncio
from collections.abc import Generator
from typing import Any, Final, NamedTuple, TypeVar

from resilience._core import Clock, SystemClock
from resilience._in_trio import in_trio
from resilience._signals import AsyncSignal, CoroutineSignal, Signal, ThreadSignal

_T = TypeVar("_T")

SYSTEM_CLOCK: Final[Clock] = SystemClock()  # the one that policies share: clocks are compared by identity


class Wait(NamedTuple):
    """What a generator of rules asks for: wait for the signal, for at most so many seconds."""

    signal: Signal
    timeout: float | None


Rules = Generator[Wait, Any, _T]


def is_being_cancelled() -> bool:
    """Whether the running task is asked to end; else a `CancelledError` is that of something it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def coroutine_signal() -> CoroutineSignal:
    """A signal for the coroutine that runs now, on asyncio or on trio."""
    if not in_trio():
        return AsyncSignal()
    from resilience._trio import TrioSignal  # it imports trio

    return TrioSignal()


async def sleep(seconds: float, clock: Clock) -> None:
    """Sleep on a policy's clock."""
    if seconds <= 0.0 and not in_trio():
        await asyncio.sleep(0)
        return
    await coroutine_signal().wait(max(0.0, seconds), clock)


def sleep_sync(seconds: float, clock: Clock) -> None:
    """Block the thread on a policy's clock."""
    if seconds > 0.0:
        ThreadSignal().wait(seconds, clock)


async def wait_async(rules: Rules[_T], clock: Clock) -> _T:
    """Perform the waits of `rules` in a coroutine. The rules see a cancellation where they wait."""
    try:
        wait = next(rules)
        while True:
            assert isinstance(wait.signal, CoroutineSignal)  # noqa: S101 # the rules were made for coroutines
            try:
                value = await wait.signal.wait(wait.timeout, clock)
            except BaseException as error:  # noqa: BLE001 # goes where it would have been raised
                wait = rules.throw(error)
            else:
                wait = rules.send(value)
    except StopIteration as stop:
        result: _T = stop.value
        return result


def wait_sync(rules: Rules[_T], clock: Clock) -> _T:
    """Perform the waits of `rules` by blocking the thread."""
    try:
        wait = next(rules)
        while True:
            assert isinstance(wait.signal, ThreadSignal)  # noqa: S101 # the rules were made for threads
            try:
                value = wait.signal.wait(wait.timeout, clock)
            except BaseException as error:  # noqa: BLE001 # an interrupt goes where it would have been raised
                wait = rules.throw(error)
            else:
                wait = rules.send(value)
    except StopIteration as stop:
        result: _T = stop.value
        return result
