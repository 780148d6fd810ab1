"""What the users of a FastAPI service notice while one of its upstreams is down.

One endpoint's upstream is killed and started again in alternating stretches, under a steady load on all: the other
endpoint should not become slower, and no breaker but that upstream's may open. A third endpoint has a second provider
to turn to: how many of its users are answered, when the first is down for a tenth of the time.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from fastapi_routes import Server, served
from harness import Row, arguments, report, save

RATE = 60  # requests a second on each endpoint
STRETCH = 2.0
TENTH = (9.0, 1.0)  # seconds up, seconds down


@dataclass(slots=True)
class Seen:
    """What the users of one endpoint saw in one state of the upstream."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def p99_ms(self) -> float:
        """Return what one request in a hundred exceeded."""
        return sorted(self.seconds)[int(0.99 * len(self.seconds))] * 1e3


async def users(session: aiohttp.ClientSession, path: str, seconds: float) -> Seen:
    """Send requests at a steady rate, and wait for every answer."""
    loop, seen = asyncio.get_running_loop(), Seen()

    async def one() -> None:
        started = loop.time()
        try:
            async with session.get(path) as answer:
                await answer.read()
                seen.failed += answer.status >= 500
        except aiohttp.ClientError:
            seen.failed += 1
        seen.seconds.append(loop.time() - started)

    started = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, started + number / RATE - loop.time()))
            group.create_task(one())
    return seen


async def alternate(
    session: aiohttp.ClientSession, rounds: int, start: Callable[[], None], stop: Callable[[], None]
) -> dict[str, list[Seen]]:
    """Load both endpoints while the upstream of one goes and comes back."""
    stretches: dict[str, list[Seen]] = {"up": [], "down": []}
    for _ in range(rounds):
        for state, change in (("up", start), ("down", stop)):
            await asyncio.to_thread(change)
            if state == "up":
                await asyncio.sleep(1.2)  # the breaker's recovery
            steady, _failing = await asyncio.gather(
                users(session, "/steady", STRETCH), users(session, "/failing", STRETCH)
            )
            stretches[state].append(steady)
    return stretches


class Upstream:
    """A server that is killed and comes back on the same port."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.server: Server = self._stack.enter_context(served("raw"))
        self._runs = True

    def stop(self) -> None:
        """Kill it."""
        if self._runs:
            self._stack.close()
            self._runs = False

    def start(self) -> None:
        """Start it again."""
        if not self._runs:
            self.server = self._stack.enter_context(served("raw", port=self.server.port))
            self._runs = True


async def measure(url: str, rounds: int, upstream: Upstream) -> dict[str, float | list[str]]:
    """Return the figures."""
    async with aiohttp.ClientSession(url) as session:
        await users(session, "/steady", 1.0)
        stretches = await alternate(session, rounds, upstream.start, upstream.stop)
        async with session.get("/circuit-breakers/health") as answer:
            breakers = (await answer.json())["circuit_breakers"]
        opened = sorted(name for name, stats in breakers.items() if stats["transitions"].get("open", 0))
        answered = await a_tenth_down(session, max(1, rounds // 2), upstream)
    up, down = (min(seen.p99_ms() for seen in stretches[state]) for state in ("up", "down"))
    return {
        "p99 up, ms": up,
        "p99 down, ms": down,
        "ratio": down / up,
        "failed": sum(seen.failed for both in stretches.values() for seen in both),
        "availability, %": 100 * answered,
        "opened": opened,
    }


async def a_tenth_down(session: aiohttp.ClientSession, rounds: int, upstream: Upstream) -> float:
    """Return the share of the third endpoint's users that are answered."""
    await asyncio.to_thread(upstream.start)
    sent = failed = 0
    for _ in range(rounds):
        load = asyncio.create_task(users(session, "/answer", sum(TENTH)))
        await asyncio.sleep(TENTH[0] / 2)
        await asyncio.to_thread(upstream.stop)
        await asyncio.sleep(TENTH[1])
        await asyncio.to_thread(upstream.start)
        seen = await load
        sent, failed = sent + len(seen.seconds), failed + seen.failed
    return 1 - failed / sent


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=4)
    began = time.monotonic()
    upstream = Upstream()
    try:
        with served("raw") as steady:
            os.environ["UPSTREAM_STEADY"] = f"http://127.0.0.1:{steady.port}/"
            os.environ["UPSTREAM_FAILING"] = f"http://127.0.0.1:{upstream.server.port}/"
            with served("isolated") as app:
                found = asyncio.run(measure(f"http://127.0.0.1:{app.port}", options.rounds, upstream))
    finally:
        upstream.stop()
    opened = found.pop("opened")
    report("One upstream of two goes and comes back", [Row("the other endpoint", found)])
    print(f"breakers that opened: {', '.join(opened)}")
    print("wanted: ratio at most 1.2, availability at least 99.8 %, no breaker but that upstream's")
    save("fastapi_isolation", {**found, "opened": opened, "seconds": round(time.monotonic() - began)})


if __name__ == "__main__":
    main()
