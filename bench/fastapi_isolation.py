"""What the users of a FastAPI service notice while one of its upstreams is down.

The upstream of one endpoint goes and comes back in many short stretches, under a steady load on all: the other
endpoint should not become slower, and no breaker but that upstream's may open. Two ratios of 99th percentiles: of the
answers of all stretches of a state, and the median over the rounds, which a few stretches in which the machine was
busy don't move. Each has an interval that holds it nineteen times of twenty, by rounds drawn anew with replacement.
The same ratios of "up" stretches to the "up" stretches after them show what the machine alone does; processor time
and how late the load's own timers ran show the rest.

A third endpoint has a second provider to turn to: how many of its users are answered, when the first is down for a
tenth of the time.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp
from fastapi_routes import Server, served
from harness import Row, arguments, report, save

HERE = Path(__file__).parent
RATE = 40  # requests a second on each endpoint
STRETCH = 1.5
SETTLE = 0.5  # seconds after a change: the breaker opens, or recovers
TENTH = (4.5, 0.5)  # seconds up, seconds down
DRAWS = 1_000


@dataclass(slots=True)
class Seen:
    """What the users of one endpoint saw in a stretch, how late they were sent, and the server's processor time."""

    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0


class Upstream:
    """A server that goes and comes back on the same port."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "served/upstream.py")]
        self._process = subprocess.Popen(  # noqa: S603 - a script of this folder
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = self.become("up")

    def become(self, state: str) -> int:
        """Make it "up" or "down", and return its port once it is."""
        self._process.stdin.write(f"{state}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait()


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
            due = started + number / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))
            seen.late.append(max(0.0, loop.time() - due))
            group.create_task(one())
    return seen


async def alternate(
    session: aiohttp.ClientSession, app: Server, upstream: Upstream, rounds: int
) -> dict[str, list[Seen]]:
    """Load both endpoints while the upstream of one goes and comes back; what follows a change is left out."""
    stretches: dict[str, list[Seen]] = {"up": [], "down": []}
    for _ in range(rounds):
        for state, kept in stretches.items():
            await asyncio.to_thread(upstream.become, state)
            await asyncio.gather(*(users(session, path, SETTLE) for path in ("/steady", "/failing")))
            before = app.cpu_seconds()
            steady, _ = await asyncio.gather(*(users(session, p, STRETCH) for p in ("/steady", "/failing")))
            steady.cpu = app.cpu_seconds() - before
            kept.append(steady)
    return stretches


def p99(stretches: Sequence[Seen]) -> float:
    """Return what one answer in a hundred exceeded, over all of these stretches."""
    pooled = sorted(second for seen in stretches for second in seen.seconds)
    return pooled[int(0.99 * len(pooled))]


def ratios(of: Sequence[Seen], over: Sequence[Seen]) -> dict[str, float]:
    """Return how the 99th percentiles of paired stretches compare: pooled, and round by round."""
    draw, rounds = random.Random(1), list(zip(of, over, strict=True))

    def pooled(pairs: Sequence[tuple[Seen, Seen]]) -> float:
        return p99([one for one, _ in pairs]) / p99([other for _, other in pairs])

    def by_round(pairs: Sequence[tuple[Seen, Seen]]) -> float:
        return median(p99([one]) / p99([other]) for one, other in pairs)

    found = {}
    for name, figure in (("pooled", pooled), ("by round", by_round)):
        drawn = sorted(figure(draw.choices(rounds, k=len(rounds))) for _ in range(DRAWS))
        found |= {
            name: figure(rounds),
            f"{name}, from": drawn[DRAWS // 40],
            f"{name}, to": drawn[-DRAWS // 40],
        }
    return found


async def a_tenth_down(session: aiohttp.ClientSession, rounds: int, upstream: Upstream) -> float:
    """Return the share of the third endpoint's users that are answered."""
    await asyncio.to_thread(upstream.become, "up")
    sent = failed = 0
    for _ in range(rounds):
        load = asyncio.create_task(users(session, "/answer", sum(TENTH)))
        for state, seconds in (("up", TENTH[0] / 2), ("down", TENTH[1]), ("up", 0.0)):
            await asyncio.to_thread(upstream.become, state)
            await asyncio.sleep(seconds)
        seen = await load
        sent, failed = sent + len(seen.seconds), failed + seen.failed
    return 1 - failed / sent


async def measure(
    app: Server, rounds: int, upstream: Upstream
) -> tuple[dict[str, list[Seen]], list[str], float]:
    """Return the stretches, the breakers that opened, and the availability of the third endpoint."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as session:
        await users(session, "/steady", 2.0)
        stretches = await alternate(session, app, upstream, rounds)
        async with session.get("/circuit-breakers/health") as answer:
            breakers = (await answer.json())["circuit_breakers"]
        opened = sorted(name for name, stats in breakers.items() if stats["transitions"].get("open", 0))
        return stretches, opened, await a_tenth_down(session, max(1, rounds // 3), upstream)


def figures(stretches: Sequence[Seen]) -> dict[str, float]:
    """Summarise one state in milliseconds."""
    pooled = sorted(second for seen in stretches for second in seen.seconds)
    late = sorted(second for seen in stretches for second in seen.late)
    return {
        "p50, ms": pooled[len(pooled) // 2] * 1e3,
        "p99, ms": p99(stretches) * 1e3,
        "failed": sum(seen.failed for seen in stretches),
        "CPU ms/s": sum(seen.cpu for seen in stretches) / (len(stretches) * STRETCH) * 1e3,
        "load late p99": late[int(0.99 * len(late))] * 1e3,
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=20)
    began, upstream = time.monotonic(), Upstream()
    try:
        with served("raw") as steady:
            os.environ["UPSTREAM_STEADY"] = f"http://127.0.0.1:{steady.port}/"
            os.environ["UPSTREAM_FAILING"] = f"http://127.0.0.1:{upstream.port}/"
            with served("isolated") as app:
                stretches, opened, answered = asyncio.run(measure(app, options.rounds, upstream))
    finally:
        upstream.close()
    states = {state: figures(seen) for state, seen in stretches.items()}
    report("The other endpoint, by the state of the upstream", [Row(*item) for item in states.items()])
    up, down = stretches["up"], stretches["down"]
    pairs = {"down over up": ratios(down, up), "up over the next up": ratios(up[1:], up[:-1])}
    report("Ratios of the 99th percentiles", [Row(*item) for item in pairs.items()])
    print(f"available: {100 * answered:.2f} %; breakers that opened: {', '.join(opened)}")
    print("wanted: ratio at most 1.2, availability at least 99.8 %, no breaker but that upstream's")
    found = {"states": states, "ratios": pairs, "availability, %": 100 * answered, "opened": opened}
    save("fastapi_isolation", {**found, "seconds": round(time.monotonic() - began)})


if __name__ == "__main__":
    main()
