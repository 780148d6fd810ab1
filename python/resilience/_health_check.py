"""Health checks of one's own: for callees that a native probe can't ask, as those behind TLS."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from resilience._checks import check_attempts
from resilience._core import Clock
from resilience._timeout import Timeout
from resilience._types import State, type_name
from resilience._waiting import SYSTEM_CLOCK, is_being_cancelled, sleep

_log = logging.getLogger("resilience.health_check")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """An async function that finds out whether something is up.

    It runs while the breaker is open, on the event loop on which the breaker opened; where it opened outside of any,
    there is no checking.

    Args:
        check: returns whether the callee is up; an error means that it isn't.
        interval: seconds between the end of an attempt and the next one, in [0.001, 3600].
        timeout: seconds after which an attempt has failed, in [0.001, 3600].
        successes: attempts in a row that must succeed, in [1, 1000].
        clock: where interval and timeout are measured; the system's clock when ``None``.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when `check` can't be called.
    """

    check: Callable[[], Awaitable[bool]]
    interval: float = 1.0
    timeout: float = 1.0
    successes: int = 2
    clock: Clock | None = None

    def __post_init__(self) -> None:
        if not callable(self.check):
            raise TypeError(f"check must be an async function, got {type_name(self.check)}")
        check_attempts(self.interval, self.timeout, self.successes)

    def prober(self, on_recovery: Callable[[], Any]) -> "CheckProber":
        """Make what a breaker starts and stops."""
        return CheckProber(self, on_recovery)


class CheckProber:
    """Runs a check while its breaker is open, and reports when enough attempts in a row have succeeded."""

    def __init__(self, check: HealthCheck, on_recovery: Callable[[], Any]) -> None:
        self._check = check
        self._on_recovery = on_recovery
        self._clock = check.clock or SYSTEM_CLOCK
        self._timeout = Timeout(check.timeout, name="health check", clock=self._clock)
        self._task: asyncio.Task[None] | None = None

    def state_changed(self, state: State) -> None:
        """Begin when the breaker opens, end when it does anything else."""
        self.stop()
        if state is not State.OPEN:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        # the deadline and the priority of the call that failed are no business of the check
        self._task = loop.create_task(self._run(), context=contextvars.Context())

    def stop(self) -> None:
        """End checking."""
        task, self._task = self._task, None
        if task is None or task.done():
            return
        loop = task.get_loop()
        running = asyncio._get_running_loop()  # noqa: SLF001 # the only look that doesn't raise
        if running is not loop:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
        elif asyncio.current_task() is not task:
            task.cancel()

    async def _run(self) -> None:
        me = asyncio.current_task()
        in_a_row = 0
        while self._task is me:  # another, or none, once the breaker has closed
            await sleep(self._check.interval, self._clock)
            in_a_row = in_a_row + 1 if await self._is_healthy() else 0
            if in_a_row >= self._check.successes:
                self._on_recovery()

    async def _is_healthy(self) -> bool:
        try:
            return bool(await self._timeout.call(self._check.check))
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the callee isn't up
            if is_being_cancelled():
                raise
            _log.debug("health check failed: %s", type(error).__name__)
            return False
