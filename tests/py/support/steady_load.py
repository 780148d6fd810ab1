"""Requests at a steady rate, whatever becomes of them."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

AT_ONCE = 50  # a machine that can't keep up is asked less often, not by an ever longer queue


@dataclass(slots=True)
class Outcome:
    """What a stretch of load saw: seconds of each answer, and what was no success."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def p99(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[int(0.99 * len(ordered))]


async def send_one(session, path, outcome, body=None):
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        method = "GET" if body is None else "POST"
        async with session.request(method, path, json=body) as answer:
            await answer.read()
            if answer.status >= 500:
                outcome.failures.append(f"{path}: {answer.status}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        outcome.failures.append(f"{path}: {error!r}")
    outcome.seconds.append(loop.time() - started)


async def until_time(when):
    """Wait for a moment of the loop's clock: the pace of a load, which no test relies on to be right."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    loop.call_at(when, reached.set_result, None)
    await reached


async def send_steadily(session, path, outcome, *, rate, seconds=None, until=None, body=None):
    """Send at most `rate` requests a second for a time, or until an event; all are answered when it returns."""
    started, sent, room = asyncio.get_running_loop().time(), 0, asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        while (until is None or not until.is_set()) and (seconds is None or sent < rate * seconds):
            await room.acquire()
            request = group.create_task(send_one(session, path, outcome, body))
            request.add_done_callback(lambda _: room.release())
            sent += 1
            await until_time(started + sent / rate)


async def until_not_ready(session, draining):
    """Set the event once readiness says that requests should go elsewhere, as a load balancer watches it."""
    while True:
        async with session.get("/ready") as answer:
            if answer.status == 503:
                draining.set()
                return
