"""Sending a second request while the first is slow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from resilience import _core
from resilience._checks import number, whole
from resilience._core import Clock
from resilience._in_trio import in_trio
from resilience._policy import Policy
from resilience._retry import RetryBudget
from resilience._signals import AsyncSignal


class Hedge(Policy):
    """Sends a further request while earlier ones are slow; made by `hedge`, which documents it."""

    _kind = "hedge"

    def __init__(
        self,
        delay: float | str,
        *,
        max_hedges: int = 1,
        budget: RetryBudget | None = None,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        if budget is not None and not isinstance(budget, RetryBudget):
            raise TypeError(f"budget must be a RetryBudget or None, got {budget!r}")
        by_percentile = isinstance(delay, str)
        self._budget = budget
        self._machine = _core.Hedge(
            delay=0.0 if by_percentile else number("delay", delay),
            quantile=_quantile(delay) if isinstance(delay, str) else 0.0,
            max_hedges=whole("max_hedges", max_hedges),
        )
        self._compile(hedge=self)

    # ---- what pipelines use ----

    async def _race(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """The first good answer of several equal requests; the losers are cancelled and awaited."""
        if in_trio():
            raise RuntimeError("hedging needs a running asyncio event loop")
        if self._budget is not None:
            self._budget.on_call()
        racing: set[asyncio.Task[Any]] = set()
        first_error: BaseException | None = None
        try:
            racing.add(self._send(request))
            sent, hedging = 1, True
            while racing:
                delay = self._machine.delay(sent) if hedging else None
                done = await self._first(racing, delay)
                for task in done:
                    racing.discard(task)
                    if not task.cancelled() and task.exception() is None:
                        return task.result()
                    first_error = first_error or _error_of(task)
                if not done:
                    hedging = self._afford()  # a spent budget stops new requests, not those that are out
                if not done and hedging:
                    racing.add(self._send(request))
                    sent += 1
            assert first_error is not None  # noqa: S101 # every request has ended, none of them well
            raise first_error
        finally:
            first_error = None  # its traceback holds this frame
            await _cancel(racing)

    def _afford(self) -> bool:
        return self._budget is None or self._budget._machine.try_take()  # noqa: SLF001 # one concept, two modules

    def _send(self, request: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(self._timed(request))

    async def _timed(self, request: Callable[[], Awaitable[Any]]) -> Any:
        started = self._clock.now()
        result = await request()
        self._machine.record(self._clock.now() - started)
        return result

    async def _first(self, racing: set[asyncio.Task[Any]], delay: float | None) -> set[asyncio.Task[Any]]:
        """Those that ended within `delay` seconds, if any."""
        signal = AsyncSignal()

        def on_done(_task: object) -> None:
            signal.set(True)  # anything but None

        for task in racing:
            task.add_done_callback(on_done)
        try:
            if not any(task.done() for task in racing):
                await signal.wait(delay, self._clock)
        finally:
            for task in racing:
                task.remove_done_callback(on_done)
        return {task for task in racing if task.done()}


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel the losers and see them end, also when this is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    cancelling = set(tasks)
    while waiting := [task for task in tasks if not task.done()]:
        for task in cancelling:
            task.cancel()
        cancelling.clear()
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
            cancelling.update(waiting)  # as a call that is awaited would, they hear of each cancellation
    for task in tasks:
        if not task.cancelled():
            task.exception()  # a loser's error has nobody to go to
    if cancelled is not None:
        raise cancelled


def _quantile(text: str) -> float:
    try:
        percent = float(text.removeprefix("p")) if text.startswith("p") else 0.0
    except ValueError:
        percent = 0.0
    if not 1.0 <= percent <= 99.9:  # noqa: PLR2004 # as the message says
        raise ValueError(
            f'delay must be a number of seconds or a percentile from "p1" to "p99.9", got {text!r}'
        )
    return percent / 100.0


def hedge(
    delay: float | str,
    *,
    max_hedges: int = 1,
    budget: RetryBudget | None = None,
    name: str | None = None,
    clock: Clock | None = None,
) -> Hedge:
    """Send the same request again when the first has not answered after `delay`, and take the first good answer.

    For functions that may safely run twice. The losers are cancelled and awaited. An error only counts once no
    other request is out. In a pipeline each request passes the breaker and the limits. Needs asyncio; decorating a
    plain function or a generator raises ``TypeError``. After Dean, Barroso: "The Tail at Scale" (CACM 2013).

    Args:
        delay: seconds >= 0, or a percentile of the latest successful requests such as ``"p95"``; by percentile
            nothing is hedged before 20 of them were seen.
        max_hedges: further requests for one call, in [1, 100].
        budget: bounds hedges over all calls; once it is spent calls just wait.
        name: shown in metrics.
        clock: where time is measured.

    Returns:
        A decorator with ``call``; also a member of a `Pipeline`.

    Raises:
        ValueError: if an argument is out of range.
    """
    return Hedge(delay, max_hedges=max_hedges, budget=budget, name=name, clock=clock)
