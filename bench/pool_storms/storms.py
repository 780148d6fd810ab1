"""Requests cancelled at random points, and sizes changed under load: what is lost, crossed or complained of."""

import asyncio
import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator
from time import perf_counter

from pool_storms.kinds import SIZE, Kind
from support.storm import CancelStorm
from support.until import until

CALLERS = 40
SIZES = (2, 30, 1, 8, 20)


class Noise:
    """Counts warnings, errors that nobody could be told of, and what the event loop reports."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Count what is heard inside."""
        hook = sys.unraisablehook
        sys.unraisablehook = lambda failed: self.heard.append(repr(failed.exc_value))
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.heard.append(str(context["message"]))
        )
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
                gc.collect()
        finally:
            sys.unraisablehook = hook
            asyncio.get_running_loop().set_exception_handler(None)
            self.heard += [str(each.message) for each in caught]


async def cancelled(kind: Kind, seed: str) -> dict[str, float]:
    """Cancel most of many requests, some twice; then use every place at once."""
    crossed = 0

    async def request(number: int) -> None:
        nonlocal crossed
        if not await kind.ask(number):
            crossed += 1

    noise, storm, started = Noise(), CancelStorm(request, seed=seed), perf_counter()
    with noise.listening():
        await storm.run()
        with contextlib.suppress(TimeoutError):
            await until(lambda: kind.stats()["in_use"] == 0, limit=10)
        leaked = kind.stats()["in_use"]
        after = await asyncio.gather(*(kind.ask(number) for number in range(SIZE)))
    crossed += after.count(False)
    return {
        "finished": storm.finished,
        "cancelled": storm.cancelled,
        "leaked": leaked,
        "crossed": crossed,
        "warnings": len(noise.heard),
        "seconds": perf_counter() - started,
    }


async def resized(kind: Kind, requests: int) -> dict[str, float]:
    """Change the size while callers keep asking; every request must get its own answer."""
    answered = lost = 0

    async def caller(first: int) -> None:
        nonlocal answered, lost
        for number in range(first, requests, CALLERS):
            try:
                right = await kind.ask(number)
            except Exception:  # noqa: BLE001 - whatever it is, the request is lost
                right = False
            answered += right
            lost += not right

    async def resizer() -> int:
        times, done = 0, 0
        while requests - answered - lost > requests // 20:
            await kind.resize(SIZES[times % len(SIZES)])
            times += 1
            done = answered + lost + requests // 50
            await until(lambda done=done: answered + lost >= min(done, requests))
        return times

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for first in range(CALLERS):
            group.create_task(caller(first))
        resizing = group.create_task(resizer())
    stats = kind.stats()
    return {
        "answered": answered,
        "resizes": resizing.result(),
        "lost": lost,
        "leaked": stats["in_use"] + stats["waiting"],
        "seconds": perf_counter() - started,
    }
