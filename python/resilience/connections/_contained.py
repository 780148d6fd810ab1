"""Running what must not be interrupted halfway."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def contained(
    work: Coroutine[Any, Any, T], *, undo: Callable[[T], Coroutine[Any, Any, object]] | None = None
) -> T:
    """Run `work` in a task of its own and leave only when it has ended.

    Client libraries clean up after a cancellation, but lose track when a second one, or the first, interrupts the
    cleaning. Here a cancellation is passed on once, or not at all, and raised when `work` is through.

    Args:
        work: what to run.
        undo: takes back a result that comes in spite of the cancellation; without it, `work` is not cancelled.

    Raises:
        asyncio.CancelledError: when cancelled meanwhile, whatever `work` made of it.
        BaseException: what `work` raises.
    """
    task = asyncio.create_task(work)
    cancelled = await _end_of(task, cancel=undo is not None)
    if cancelled is None:
        return task.result()
    if not task.cancelled() and task.exception() is None and undo is not None:
        await _end_of(asyncio.create_task(undo(task.result())), cancel=False)
    raise cancelled


async def _end_of(task: asyncio.Task[Any], *, cancel: bool) -> asyncio.CancelledError | None:
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            if cancelled is None and cancel:
                task.cancel()
            cancelled = error
    return cancelled
