"""What a timeout costs a call that suspends, against asyncio.timeout; 100,000 timers; how late timeouts fire.

One empty wrapper is what ``async def w(*a, **k): return await f(*a, **k)`` adds to a bare ``await f(x)`` that does
not suspend. The suspended call yields to the event loop once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from harness import Row, arguments, drive, interleave, plot_bars, report, save, stopwatch

import resilience
from resilience._core import TimeoutQueue
from resilience._waiting import SYSTEM_CLOCK

CALLS = 1_000
TIMERS = 100_000
LATE = 100


class Yield:
    """Suspends once, as an event loop's own futures do, at the least cost."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def quick(x: int) -> int:
    return x


async def quick_wrapper(*args: Any, **kwargs: Any) -> Any:
    return await quick(*args, **kwargs)


async def suspend(x: int) -> int:
    await Yield()
    return x


async def suspend_wrapper(*args: Any, **kwargs: Any) -> Any:
    return await suspend(*args, **kwargs)


async def with_asyncio(x: int) -> int:
    async with asyncio.timeout(5.0):
        return await suspend(x)


async def with_wait_for(x: int) -> int:
    return await asyncio.wait_for(suspend(x), 5.0)


def loop_over(
    function: Callable[[int], Awaitable[Any]], run: Callable[[Any], object]
) -> Callable[[], object]:
    async def calls() -> None:
        for _ in range(CALLS):
            await function(1)

    return lambda: run(calls())


def measure_calls(rounds: int) -> dict[str, float]:
    """Overheads in empty wrappers."""
    loop = asyncio.new_event_loop()
    candidates: dict[str, Callable[[int], Awaitable[Any]]] = {
        "bare await": suspend,
        "empty wrapper": suspend_wrapper,
        "resilience.timeout": resilience.timeout(5.0)(suspend),
        "asyncio.timeout": with_asyncio,
        "asyncio.wait_for": with_wait_for,
    }
    timed = {
        name: stopwatch(loop_over(function, loop.run_until_complete), calls=CALLS)
        for name, function in candidates.items()
    }
    for name, function in (("quick", quick), ("quick wrapper", quick_wrapper)):
        timed[name] = stopwatch(loop_over(function, drive), calls=CALLS)
    best = interleave(timed, rounds=rounds)
    loop.close()
    unit = best["quick wrapper"] - best["quick"]
    overhead = {name: (best[name] - best["bare await"]) / unit for name in candidates}
    report(
        "A call that suspends once under a timeout of 5 s",
        [Row(name, {"ns a call": best[name] * 1e9, "empty wrappers": overhead[name]}) for name in candidates],
    )
    return overhead


async def measure_timers() -> dict[str, float]:
    """Nanoseconds to arm and to disarm one of many timers."""
    few, many = TIMERS // 100, TIMERS
    figures = {}
    for count in (few, many):
        queue = TimeoutQueue(3600.0, SYSTEM_CLOCK)
        queue.arm().finish()
        start = time.perf_counter()
        scopes = [queue.arm() for _ in range(count)]
        armed = time.perf_counter()
        for scope in scopes[::-1]:
            scope.finish()
        figures[f"arm, {count}"] = (armed - start) / count * 1e9
        figures[f"disarm, {count}"] = (time.perf_counter() - armed) / count * 1e9
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    handles = [loop.call_later(3600.0, print) for _ in range(many)]
    armed = time.perf_counter()
    for handle in handles:
        handle.cancel()
    figures[f"loop.call_later, {many}"] = (armed - start) / many * 1e9
    figures[f"its cancel, {many}"] = (time.perf_counter() - armed) / many * 1e9
    report("Timers", [Row(name, {"ns each": value}) for name, value in figures.items()])
    return figures


async def measure_lateness() -> dict[str, float]:
    """Milliseconds between the deadline and the cancellation, on an idle loop."""
    late = []

    async def hang() -> None:
        await asyncio.Event().wait()

    guarded = resilience.timeout(0.02)(hang)
    for _ in range(LATE):
        start = time.monotonic()
        try:
            await guarded()
        except resilience.CallTimeoutError:
            late.append((time.monotonic() - start - 0.02) * 1e3)
    late.sort()
    figures = {"earliest": late[0], "median": late[len(late) // 2], "latest": late[-1]}
    report("How late a timeout of 20 ms fires", [Row(name, {"ms": value}) for name, value in figures.items()])
    return figures


def main() -> None:
    options = arguments(__doc__ or "", rounds=100)
    overhead = measure_calls(options.rounds)
    timers = asyncio.run(measure_timers())
    lateness = asyncio.run(measure_lateness())
    save("timeout", {"overhead": overhead, "timers_ns": timers, "lateness_ms": lateness})
    shown = {name: value for name, value in overhead.items() if name != "bare await"}
    plot_bars("timeout", "A suspended call under a timeout", "empty wrappers (log)", shown, ours="resilience")


if __name__ == "__main__":
    main()
