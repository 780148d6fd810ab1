"""Batching: items that arrive one by one go together to a function that takes many.

The queue, its timers and its futures are native (`resilience._core`); this module runs the function.
"""

import asyncio
import concurrent.futures
import contextvars
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

from resilience import _core
from resilience._batch_inbox import BatchInbox
from resilience._batch_run import ProcessFunc, run_batch
from resilience._checks import as_float, flag, label_or_none, number, plain_function_or_none
from resilience._priority import PRIORITY
from resilience.errors import BatcherClosedError

_MOST = 1_000_000
_LONGEST_MS = 3_600_000
_GRACE = 1.0  # seconds that a cancelled batch function gets when closing has a timeout


class RequestBatcher(_core.RequestBatcherBase):
    """Collects items for a function that handles many at once.

    A batch goes as soon as it is full or its oldest item has waited for `batch_timeout_ms`; with `adaptive`, as soon
    as one of `max_concurrent_batches` slots is free, unless batches that small would keep the slots busy. The
    function runs in a task of its own, under no lock and in an empty `contextvars` context, since it works for
    several callers.

    A batcher works on any number of event loops, in turn or at once: each has its own queue, and the function runs
    on the loop whose callers it serves. Limits and metrics are the batcher's. Metrics and settings may be read and
    changed from any thread.

    Args:
        batch_size: items in a full batch, in [1, 1000000].
        batch_timeout_ms: how long an item waits for others, in [0, 3600000] ms; 0 sends what one pass of the loop
            has brought.
        process_func: takes a list of payloads and returns a sequence of as many results, in order; a coroutine
            function, a plain one (which blocks the loop), or an async generator that yields a result an item, each
            delivered at once. An `Exception` in a result's place fails that item alone. `None` answers each item with
            `{"batch_processed": True, "payload": payload}`.
        max_pending: items that may wait, in [1, 1000000]; more are refused with `BatchQueueFullError`.
        max_concurrent_batches: batches that may run at once, in [1, 1000000].
        adaptive: send what there is while slots are free; the cost of a batch is fitted as a·n + b, and small batches
            wait for more only when they would keep more than 60 % of the slots busy.
        dedupe: items with equal (hashable) ids that wait together are sent once and share the result.
        weigher: weight of a payload, a number >= 0.
        max_batch_weight: weight at which a batch is full, > 0; a heavier item goes alone.
        on_poison: what a batch that raises does: `"fail"` fails its items, each with its own exception; `"bisect"`
            runs the halves again until the items that fail stand alone, at most 2·log2(n) + 1 calls for one. It
            repeats calls, so it is for idempotent functions only; streamed batches aren't repeated.
        name: shown in errors and metrics.
        clock: where the batcher takes its time from; the system clock by default.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when an argument is of the wrong type.
    """

    def __init__(
        self,
        batch_size: int = 10,
        batch_timeout_ms: float = 50,
        process_func: ProcessFunc | None = None,
        *,
        max_pending: int = 10_000,
        max_concurrent_batches: int = 8,
        adaptive: bool = False,
        dedupe: bool = False,
        weigher: Callable[[Any], float] | None = None,
        max_batch_weight: float | None = None,
        on_poison: Literal["fail", "bisect"] = "fail",
        name: str | None = None,
        clock: _core.Clock | None = None,
    ) -> None:
        if on_poison not in ("fail", "bisect"):
            raise ValueError(f'on_poison must be "fail" or "bisect", got {on_poison!r}')
        plain_function_or_none("weigher", weigher)
        label_or_none("name", name)
        flag("dedupe", dedupe)
        if max_batch_weight is not None and weigher is None:
            raise ValueError("max_batch_weight needs a weigher")
        self._settings: dict[str, Any] = {}
        self._launching = False
        self._tasks: dict[asyncio.Task[None], _core.Batch] = {}
        self._inboxes: list[BatchInbox] = []  # a loop each, oldest first
        self._process_func: ProcessFunc | None = None
        self._on_poison = on_poison
        self.process_func = process_func
        self.name: str = name or getattr(process_func, "__qualname__", None) or "batcher"
        self._prepare(self.name, weigher, dedupe, clock, PRIORITY)
        self.tune(
            batch_size=batch_size,
            batch_timeout_ms=batch_timeout_ms,
            max_pending=max_pending,
            max_concurrent_batches=max_concurrent_batches,
            adaptive=adaptive,
            max_batch_weight=max_batch_weight,
        )

    @property
    def process_func(self) -> ProcessFunc | None:
        """The batch function; a new one serves the batches that begin from then on."""
        return self._process_func

    @process_func.setter
    def process_func(self, function: ProcessFunc | None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"process_func must be callable or None, got {function!r}")
        self._process_func = function

    @property
    def batch_size(self) -> int:
        """Items in a full batch."""
        return int(self._settings["batch_size"])

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.tune(batch_size=value)

    @property
    def batch_timeout_ms(self) -> float:
        """How long an item waits for others."""
        return float(self._settings["batch_timeout_ms"])

    @batch_timeout_ms.setter
    def batch_timeout_ms(self, value: float) -> None:
        self.tune(batch_timeout_ms=value)

    @property
    def max_concurrent_batches(self) -> int:
        """Batches that may run at once."""
        return int(self._settings["max_concurrent_batches"])

    @max_concurrent_batches.setter
    def max_concurrent_batches(self, value: int) -> None:
        self.tune(max_concurrent_batches=value)

    def tune(self, **changes: Any) -> None:
        """Change settings of a running batcher, all or none; they hold for the items that wait, too.

        Args:
            **changes: any of `batch_size`, `batch_timeout_ms`, `max_pending`, `max_concurrent_batches`, `adaptive`
                and `max_batch_weight`.

        Raises:
            ValueError: when a value is out of range.
            TypeError: when a value is of the wrong type or a setting is unknown.
        """
        settings = {**self._settings, **changes}
        for count in ("batch_size", "max_pending", "max_concurrent_batches"):
            _require_count(count, settings[count])
        number("batch_timeout_ms", settings["batch_timeout_ms"])
        if not 0 <= settings["batch_timeout_ms"] <= _LONGEST_MS:
            raise ValueError(
                f"batch_timeout_ms must be a number in [0, {_LONGEST_MS}], got {settings['batch_timeout_ms']!r}"
            )
        flag("adaptive", settings["adaptive"])
        heaviest = settings["max_batch_weight"]
        if heaviest is not None:
            number("max_batch_weight", heaviest)
        unknown = settings.keys() - _SETTINGS
        if unknown:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
        self._configure(
            settings["batch_size"],
            settings["batch_timeout_ms"],
            settings["max_pending"],
            settings["max_concurrent_batches"],
            settings["adaptive"],
            float("inf") if heaviest is None else as_float(heaviest),
        )
        self._settings = settings

    def submit_threadsafe(self, request_id: Any, payload: Any) -> concurrent.futures.Future[Any]:
        """Hand an item over from another thread than its loop's.

        It runs on the oldest live loop that the batcher is bound to. Cancelling the returned future takes the item
        out of its batch. What goes wrong later is raised by the future, as `add_request` would.

        Args:
            request_id: as in `add_request`.
            payload: what the batch function gets.

        Raises:
            RuntimeError: when the batcher is bound to no live loop: none has added a request yet, or all are closed.
        """
        for inbox in self._inboxes:
            if inbox.loop is not None:
                return inbox.submit(request_id, payload)
        raise RuntimeError(f"batcher {self.name!r} is bound to no live event loop")

    async def flush(self) -> None:
        """Send all that waits now, and return when what waited on this loop is done."""
        waiting = self._waiting()
        self._flush()
        if waiting:
            await asyncio.wait(waiting)

    async def close(self, drain: bool = True, timeout: float | None = None) -> None:  # noqa: ASYNC109, FBT001, FBT002
        """Refuse new items with `BatcherClosedError`, and end. Closing again waits likewise.

        Args:
            drain: finish what was accepted; otherwise it fails with `BatcherClosedError`, and functions that run are
                cancelled.
            timeout: seconds after which draining gives up, and does as if `drain` were false.
        """
        self._refuse()
        if drain:
            self._flush()
        here = asyncio.get_running_loop()
        elsewhere = [
            asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(timeout, drain=drain), loop))
            for loop in (inbox.loop for inbox in self._inboxes)
            if loop is not None and loop is not here and loop.is_running()
        ]
        await self._end(timeout, drain=drain)
        if elsewhere:
            await asyncio.wait(elsewhere)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        await self.close(drain=exc_type is None)

    def __repr__(self) -> str:
        return f"<RequestBatcher {self.name!r}: {self.batch_size} items or {self.batch_timeout_ms:g} ms>"

    # ---- called by the native half ----

    def _bound(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note a loop that the batcher is used on for the first time."""
        self._unbound()
        self._inboxes.append(BatchInbox(loop, self.add_request))

    def _unbound(self) -> None:
        """Let go of loops that were closed."""
        gone = [inbox for inbox in self._inboxes if inbox.loop is None]
        self._inboxes = [inbox for inbox in self._inboxes if inbox not in gone]
        for inbox in gone:
            inbox.abandon()
        self._tasks = {task: batch for task, batch in self._tasks.items() if not task.get_loop().is_closed()}

    def _launch(self, batch: _core.Batch) -> None:
        """Run the function on a batch, in a task and a context that are no caller's."""
        loop = asyncio.get_running_loop()
        self._launching = True
        try:
            task = contextvars.Context().run(loop.create_task, self._run(batch))
        finally:
            self._launching = False
        self._tasks[task] = batch
        task.add_done_callback(self._finished)

    # ---- running the function ----

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # KeyboardInterrupt or SystemExit, which have ended the loop's run already

    async def _run(self, batch: _core.Batch) -> None:
        if self._launching:  # an eager task: the function isn't to run inside of add_request
            await asyncio.sleep(0)
        await run_batch(self._process_func, batch, bisects=self._on_poison == "bisect")

    def _tasks_here(self) -> list[asyncio.Task[None]]:
        loop = asyncio.get_running_loop()
        current = asyncio.current_task()
        return [task for task in self._tasks if task.get_loop() is loop and task is not current]

    async def _end(self, timeout: float | None, *, drain: bool) -> None:  # noqa: ASYNC109
        if drain:
            try:
                async with asyncio.timeout(timeout):
                    while work := _futures(self._waiting(), self._tasks_here()):
                        await asyncio.wait(work)
            except TimeoutError:
                pass
            else:
                return
        self._abort()
        tasks = self._tasks_here()
        for task in tasks:
            self._tasks[task].fail(BatcherClosedError(self.name))
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=None if timeout is None else _GRACE)


_SETTINGS = frozenset(
    {
        "batch_size",
        "batch_timeout_ms",
        "max_pending",
        "max_concurrent_batches",
        "adaptive",
        "max_batch_weight",
    }
)


def _futures(*groups: Iterable[asyncio.Future[Any]]) -> list[asyncio.Future[Any]]:
    return [future for group in groups for future in group]


def _require_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer in [1, {_MOST}], got {value!r}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name} must be an integer in [1, {_MOST}], got {value!r}")
