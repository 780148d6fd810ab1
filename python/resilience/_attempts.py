"""What becomes of a call once its first attempt failed, or of one that is hedged: attempts one after the other."""

# ruff: noqa: SLF001 - the policies of a pipeline know each other

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from resilience import _core
from resilience._waiting import sleep, sleep_sync

if TYPE_CHECKING:
    from resilience._core import Clock
    from resilience._hedge import Hedge
    from resilience._policy import Policy
    from resilience._retry import Retry

_Function = Callable[..., Any]
_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


class Attempts:
    """The attempts of calls that began under the same policies, and end under them whatever replaces those meanwhile.

    Args:
        attempt: the policies that each attempt passes.
        retry: says whether there is another.
        hedge: sends several at once.
        clock: of the total timeout, and of waits where there is no `retry`.
    """

    __slots__ = ("_attempt", "_clock", "_hedge", "_retry")

    def __init__(
        self, attempt: "Policy", retry: "Retry | None", hedge: "Hedge | None", clock: "Clock"
    ) -> None:
        self._attempt = attempt
        self._retry = retry
        self._hedge = hedge
        self._clock = clock

    def take_over(
        self,
        function: _Function,
        args: _Args,
        kwargs: _Kwargs,
        error: BaseException | None,
        time_left: float | None,
    ) -> Coroutine[Any, Any, Any] | None:
        """Go on after the first attempt failed with `error`, or make all attempts; ``None``: it is the last word."""
        state = _core.RetryState()
        wait = 0.0
        if self._retry is not None and error is not None:
            decided = self._retry._next(state, error, time_left)
            if decided is None:
                return None
            wait = decided
        deadline = None if time_left is None else self._clock.now() + time_left
        return self._repeat(lambda: self._request(function, args, kwargs), state, wait, deadline)

    async def _repeat(
        self, request: Callable[[], Any], state: _core.RetryState, wait: float, deadline: float | None
    ) -> Any:
        retry = self._retry
        while True:
            if wait > 0.0:
                await sleep(wait, self._clock if retry is None else retry._clock)
            try:
                return await request()
            except Exception as error:
                left = None if deadline is None else max(0.0, deadline - self._clock.now())
                decided = None if retry is None else retry._next(state, error, left)
                if decided is None:
                    raise
                wait = decided

    def _request(self, function: _Function, args: _Args, kwargs: _Kwargs) -> Any:
        """One attempt, hedged when that is asked for."""
        attempt = self._attempt
        if self._hedge is None:
            return attempt.call(function, *args, **kwargs)
        return self._hedge._race(lambda: attempt.call(function, *args, **kwargs))

    def repeat_sync(self, function: _Function, args: _Args, kwargs: _Kwargs, error: BaseException) -> Any:
        """Go on after the first attempt of a plain function failed with `error`."""
        retry = self._retry
        assert retry is not None  # noqa: S101 # or nothing would be repeated
        state = _core.RetryState()
        wait = retry._next(state, error, None)
        if wait is None:
            raise error
        while True:
            sleep_sync(wait, retry._clock)
            try:
                return self._attempt.call_sync(function, *args, **kwargs)
            except Exception as again:
                wait = retry._next(state, again, None)
                if wait is None:
                    raise
