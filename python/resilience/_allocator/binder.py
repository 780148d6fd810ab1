"""Applying decided sizes to what they are sizes of."""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from resilience import _core

_log = logging.getLogger("resilience.allocator")

Apply = Callable[[int], int | Awaitable[int | None] | None]
Proposal = dict[str, Any]
"""An entry of the audit: `id`, `resource`, `from`, `to` and its reasons."""

RESOURCES = ("workers", "connections", "cache_size_mb")


class Report(Protocol):
    """Where problems go."""

    def __call__(self, kind: str, detail: str) -> None:
        """Note a problem."""


class _Change:
    """One size on its way to every callable that is bound to it."""

    def __init__(self, proposal: Proposal, waiting: list[Apply]) -> None:
        self.proposal = proposal
        self.waiting = deque(waiting)
        self.done: list[Apply] = []
        self.actual: int = proposal["to"]

    def note(self, apply: Apply, returned: object) -> None:
        """Take what a callable returned: the size it really has now, or nothing."""
        if returned is not None:
            if isinstance(returned, bool) or not isinstance(returned, int):
                raise TypeError(f"apply must return the actual size or None, got {returned!r}")
            self.actual = returned
        self.done.append(apply)


class Binder:
    """Knows what is bound to each resource and carries decided changes out, one a resource at a time.

    A change that fails is reported, undone where it had already been applied, and settled as failed, so the
    size on record stays the one that is in force. An awaitable is awaited in a task; how long it took to
    grow something is learned as its start delay.

    Args:
        native: Where changes are settled.
        report: Where failures go.
    """

    def __init__(self, native: _core.NativeAllocator, report: Report) -> None:
        self._native = native
        self._report = report
        self._bound: dict[str, list[Apply]] = {resource: [] for resource in RESOURCES}
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self, resource: str, apply: Apply) -> Callable[[], None]:
        """Add a callable; return what removes it."""
        if resource not in self._bound:
            raise ValueError(f"resource must be one of {', '.join(RESOURCES)}, got {resource!r}")
        if not callable(apply):
            raise TypeError(f"apply must be callable, got {apply!r}")
        bound = self._bound[resource]
        bound.append(apply)

        def unbind() -> None:
            if apply in bound:
                bound.remove(apply)

        return unbind

    def carry_out(self, proposal: Proposal) -> None:
        """Apply one change, unless the last one of its resource is still under way."""
        resource = proposal["resource"]
        if resource in self._busy:
            return
        self._busy.add(resource)
        self._go_on(_Change(proposal, self._bound[resource]))

    async def finish(self) -> None:
        """Wait for the changes under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go_on(self, change: _Change) -> None:
        while change.waiting:
            apply = change.waiting.popleft()
            with self._failing(change) as went_well:
                returned = apply(change.proposal["to"])
                if inspect.isawaitable(returned):
                    self._spawn(self._wait(change, apply, returned), returned)
                    return
                change.note(apply, returned)
                went_well.append(True)
            if not went_well:
                return
        self._settle(change, "applied", change.actual)

    async def _wait(self, change: _Change, apply: Apply, returned: Awaitable[int | None]) -> None:
        began = asyncio.get_running_loop().time()
        with self._failing(change) as went_well:
            change.note(apply, await returned)
            went_well.append(True)
        if went_well:
            if change.proposal["to"] > change.proposal["from"]:
                took = asyncio.get_running_loop().time() - began
                self._native.started(change.proposal["resource"], took)
            self._go_on(change)

    @contextmanager
    def _failing(self, change: _Change) -> Iterator[list[bool]]:
        went_well: list[bool] = []
        try:
            yield went_well
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the monitoring
            resource, size = change.proposal["resource"], change.proposal["to"]
            _log.exception("resizing %s to %d failed", resource, size)
            self._report("apply_failed", f"resizing {resource} to {size} failed: {error!r}")
            self._undo(change)
            self._settle(change, "failed", change.proposal["from"])
        except BaseException:
            self._settle(change, "failed", change.proposal["from"])
            raise

    def _undo(self, change: _Change) -> None:
        for apply in reversed(change.done):
            try:
                returned = apply(change.proposal["from"])
                if inspect.isawaitable(returned):
                    self._spawn(self._wait_undone(change, returned), returned)
            except Exception as error:  # noqa: BLE001 - whatever it is must not end the monitoring
                self._undo_failed(change, error)

    async def _wait_undone(self, change: _Change, returned: Awaitable[int | None]) -> None:
        try:
            await returned
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the monitoring
            self._undo_failed(change, error)

    def _undo_failed(self, change: _Change, error: Exception) -> None:
        resource = change.proposal["resource"]
        _log.error("undoing a resize of %s failed", resource, exc_info=error)
        self._report("undo_failed", f"undoing a resize of {resource} failed: {error!r}")

    def _settle(self, change: _Change, outcome: str, actual: int) -> None:
        self._native.settle(change.proposal["id"], outcome, actual)
        self._busy.discard(change.proposal["resource"])

    def _spawn(self, coroutine: Coroutine[Any, Any, None], inner: object) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            coroutine.close()
            if inspect.iscoroutine(inner):
                inner.close()
            raise RuntimeError("an awaitable needs a running event loop") from error
        task = loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
