"""What users of the cache notice while Redis is frozen, killed, replaced by an impostor, and restarted.

A real `redis-server` goes through it all while workers read through a local level before it. A stall is how late a
heartbeat of the event loop comes, less what the thread waited for a processor that other processes had; what of it is
the thread's own computing stands beside it. After each return another process changes a value, and what
passes until this one sees it is the time to freshness. "late ms" is the same by the wall clock alone.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness import Row, arguments, report, save

import resilience

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "py"))
from support.redis_server import RedisServer

WORKERS = 32
KEYS = 3_000
LOCAL_ENTRIES = 500
LOAD_SECONDS = 0.002
BEAT_SECONDS = 0.001
ALLOWED_STALL_MS = 50.0

# What takes the port over: bytes of no protocol, or an answer that never ends.
IMPOSTOR = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
def serve(connection):
    try:
        while connection.recv(4096):
            if sys.argv[2] == "rubbish":
                connection.sendall(b"$-7\\r\\n*x\\r\\n\\x00\\xff:::\\r\\n" * 50)
            else:
                connection.sendall(b"$2000000000\\r\\n")
                while True:
                    connection.sendall(b"x" * 65536)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@dataclass
class Phase:
    """What was seen in one phase."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    late: float = 0.0
    stall: float = 0.0
    computing: float = 0.0

    def figures(self) -> dict[str, float]:
        """Return a row's figures."""
        ordered = sorted(self.seconds)
        return {
            "requests": len(ordered),
            "failed": self.failed,
            "p50 ms": ordered[len(ordered) // 2] * 1e3,
            "p99 ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            "slowest ms": ordered[-1] * 1e3,
            "late ms": self.late * 1e3,
            "stall ms": self.stall * 1e3,
            "computing ms": self.computing * 1e3,
        }


class Observer:
    """Workers that read through the cache, and a heartbeat; both note into the present phase."""

    def __init__(self, tiered: resilience.TieredCache) -> None:
        self._tiered = tiered
        self.phase = Phase()

    async def work(self, draw: random.Random) -> None:
        """Read keys by Zipf's law, for ever."""
        weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(KEYS)))
        while True:
            key = f"key {draw.choices(range(KEYS), cum_weights=weights)[0]}"
            phase, start = self.phase, time.perf_counter()
            try:
                if await self._tiered.get_or_load(key, self._load, ttl=60) != key:
                    phase.failed += 1
            except Exception:  # noqa: BLE001 - any is what must not be
                phase.failed += 1
            phase.seconds.append(time.perf_counter() - start)
            await asyncio.sleep(0.005)

    @staticmethod
    async def _load(key: str) -> str:
        await asyncio.sleep(LOAD_SECONDS)
        return key

    async def beat(self) -> None:
        """Note how late each wake-up comes, and how much this thread computed until then."""
        queued = QueuedTime()
        while True:
            due, computed, waited = time.perf_counter() + BEAT_SECONDS, time.thread_time(), queued.seconds()
            await asyncio.sleep(BEAT_SECONDS)
            late = time.perf_counter() - due
            self.phase.late = max(self.phase.late, late)
            self.phase.stall = max(self.phase.stall, late - (queued.seconds() - waited))
            self.phase.computing = max(self.phase.computing, time.thread_time() - computed)


class QueuedTime:
    """What this thread has waited for a processor while it was ready to run; 0 where the system doesn't tell."""

    def __init__(self) -> None:
        path = Path("/proc/thread-self/schedstat")
        self._file = os.open(path, os.O_RDONLY) if path.exists() else None

    def seconds(self) -> float:
        """Return the seconds so far."""
        return 0.0 if self._file is None else int(os.pread(self._file, 100, 0).split()[1]) / 1e9


class Impostor:
    """A process that answers on a port as no Redis does."""

    def __init__(self, port: int, kind: str) -> None:
        self._command = [sys.executable, "-c", IMPOSTOR, str(port), kind]

    def start(self) -> None:
        """Return once it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)  # noqa: S603 - the source above
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


async def freshness(tiered: resilience.TieredCache, other: resilience.RedisCache, value: int) -> float:
    """Return the seconds from another process's change until this one sees it."""
    while not await other.set("shared", value):  # noqa: ASYNC110 - what happens in another process
        await asyncio.sleep(0.01)
    start = time.perf_counter()
    while await tiered.get("shared") != value:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    return time.perf_counter() - start


@contextlib.asynccontextmanager
async def observed(tiered: resilience.TieredCache) -> AsyncIterator[Observer]:
    observer = Observer(tiered)
    draws = [random.Random(number) for number in range(WORKERS)]
    tasks = [asyncio.create_task(observer.work(draw)) for draw in draws]
    tasks.append(asyncio.create_task(observer.beat()))
    await asyncio.sleep(0.5)  # the loop, the scripts and the first connections are warm
    try:
        yield observer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(server: RedisServer, seconds: float) -> tuple[list[Row], dict[str, float]]:
    tiered = resilience.TieredCache(
        resilience.Cache(LOCAL_ENTRIES), resilience.RedisCache(server.url, prefix="bench")
    )
    other = resilience.RedisCache(server.url, prefix="bench")
    phases: dict[str, Phase] = {}
    fresh: dict[str, float] = {}
    values = itertools.count()

    async def pass_phase(name: str, begin: Callable[[], None] = lambda: None) -> None:
        await asyncio.to_thread(begin)  # starting a server takes a while; that is not the loop's doing
        observer.phase = phases[name] = Phase()
        await asyncio.sleep(seconds)

    async def comes_back(name: str, begin: Callable[[], None]) -> None:
        await pass_phase(name, begin)
        fresh[name] = await freshness(tiered, other, next(values)) * 1e3

    async with observed(tiered) as observer:
        gc.collect()
        gc.freeze()  # a full collection of all that benchmarks import is no doing of the cache
        await tiered.set("shared", "of old")
        await pass_phase("healthy")
        await pass_phase("frozen (SIGSTOP)", server.freeze)
        await comes_back("thawed", server.thaw)
        await pass_phase("killed", server.kill)
        for kind in ("rubbish", "endless"):
            takes_over = Impostor(server.port, kind)
            await pass_phase(f"answering {kind} bytes", takes_over.start)
            await asyncio.to_thread(takes_over.stop)
        await comes_back("restarted", server.start)
    await tiered.aclose()
    await other.aclose()
    return [Row(name, phase.figures()) for name, phase in phases.items()], fresh


def main() -> None:
    seconds = arguments(__doc__ or "", rounds=3).rounds
    server = RedisServer()
    try:
        rows, fresh = asyncio.run(measure(server, seconds))
    finally:
        server.close()
    report(f"{WORKERS} workers through Redis's bad days, {seconds} s each", rows)
    for name, milliseconds in fresh.items():
        print(f"{name}: another process's change was seen after {milliseconds:.1f} ms")
    stall = max(row.figures["stall ms"] for row in rows)
    failed = sum(row.figures["failed"] for row in rows)
    print(
        f"failed requests: {failed:.0f}; longest stall {stall:.1f} ms (at most {ALLOWED_STALL_MS:.0f} wanted)"
    )
    save("cache_outage", {"phases": {row.name: row.figures for row in rows}, "fresh_after_ms": fresh})


if __name__ == "__main__":
    main()
