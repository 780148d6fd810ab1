"""What a timeout costs a call that suspends, against asyncio.timeout; 100,000 timers; how late timeouts fire.

One empty wrapper is what ``async def w(*a, **k): return await f(*a, **k)`` adds to a bare ``await f(x)`` that does
not suspend. The suspended call yields to the event loop once.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from harness import Row, arguments, drive, interleave, plot_bars, report, save, stopwatch

import resilience

CALLS = 1_000
TIMERS = 100_000
LATE = 100
DELAY = 0.02
ROUNDS = 5


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


def time_calls(count: int, function: Callable[[int], Any], name: str) -> dict[str, float]:
    """Let so many calls suspend, which arms their timers, and then end in another order."""
    calls = [function(1) for _ in range(count)]
    start = time.perf_counter()
    for call in calls:
        call.send(None)
    armed = time.perf_counter()
    for call in reversed(calls):
        with contextlib.suppress(StopIteration):
            call.send(None)
    return {
        f"{name} suspends, {count:,} at once": (armed - start) / count * 1e9,
        f"{name} ends, {count:,} at once": (time.perf_counter() - armed) / count * 1e9,
    }


def time_loop(count: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    handles = [loop.call_later(3600.0, print) for _ in range(count)]
    armed = time.perf_counter()
    for handle in handles:
        handle.cancel()
    return {
        f"loop.call_later, {count:,} at once": (armed - start) / count * 1e9,
        f"its cancel, {count:,} at once": (time.perf_counter() - armed) / count * 1e9,
    }


async def measure_timers() -> dict[str, float]:
    """Nanoseconds to arm and to disarm one of many timers; the minimum of a few rounds.

    The collector rests meanwhile, for its passes over so many objects would be all that is seen.
    """
    best: dict[str, float] = {}
    timed = resilience.timeout(3600.0)(suspend)
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        for count in (TIMERS // 100, TIMERS):
            for figures in (
                time_calls(count, timed, "a call under a timeout"),
                time_calls(count, suspend, "a bare call"),
                time_loop(count),
            ):
                for name, value in figures.items():
                    best[name] = min(best.get(name, value), value)
    gc.enable()
    report("Timers", [Row(name, {"ns each": value}) for name, value in best.items()])
    return best


async def measure_lateness() -> dict[str, float]:
    """Milliseconds between the deadline and the end, beside those of a bare sleep of the same length."""

    async def hang() -> None:
        await asyncio.Event().wait()

    guarded = resilience.timeout(DELAY)(hang)
    late: dict[str, list[float]] = {"timeout": [], "asyncio.sleep": []}
    for _ in range(LATE):
        start = time.monotonic()
        with contextlib.suppress(resilience.CallTimeoutError):
            await guarded()
        late["timeout"].append((time.monotonic() - start - DELAY) * 1e3)
        start = time.monotonic()
        await asyncio.sleep(DELAY)
        late["asyncio.sleep"].append((time.monotonic() - start - DELAY) * 1e3)
    figures = {}
    rows = []
    for name, values in late.items():
        values.sort()
        row = {"earliest": values[0], "median": values[len(values) // 2], "latest": values[-1]}
        rows.append(Row(name, row))
        figures |= {f"{name}, {column}": value for column, value in row.items()}
    report("Milliseconds late after 20 ms", rows)
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
