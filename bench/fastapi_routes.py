"""Requests a second of one FastAPI route: bare, under this package, from its response cache, under the usual stack.

Each application is served by its own uvicorn on its own port, and one is loaded at a time by `wrk`, in alternating
rounds; the best round of each counts. Beside the throughput stands the processor time that the server spent on a
request, which other programs on the machine disturb less.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import Row, arguments, plot_bars, report, save

HERE = Path(__file__).parent
PATH = "/items/7"
SECONDS = 1
CONNECTIONS = 32
ROUNDS_A_PROCESS = 3
TARGET_RPS, TARGET_MEAN_MS = 15_000, 1.5  # of two workers together

APPS = ("bare", "ours", "cached", "peers", "raw")
TITLES = {
    "bare": "bare FastAPI route",
    "ours": "ours: breaker, retry, timeout, metrics, correlation id",
    "cached": "ours, answered from the response cache",
    "peers": "circuitbreaker, tenacity, instrumentator, asgi-correlation-id",
    "raw": "raw ASGI, no framework",
}
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_FAILED = re.compile(r"Non-2xx or 3xx responses|Socket errors")


@dataclass(frozen=True, slots=True)
class Round:
    """What one stretch of load showed."""

    rps: float
    mean_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Server:
    """A started uvicorn."""

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the processor time of the server and its workers so far."""
        return sum(_cpu_seconds(pid) for pid in _family(self.process.pid))


def _family(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return [parent, *(pid for child in children for pid in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a process: its own clock, for /proc counts in steps of 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid() returns on Linux


@contextlib.contextmanager
def served(name: str, workers: int = 1, port: int | None = None) -> Iterator[Server]:
    """Serve one of the applications until left, on a free port unless told."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    paths = [str(HERE / "served"), str(HERE.parent / "python")]
    command = [sys.executable, "-m", "uvicorn", f"apps:{name}", "--port", str(port)]
    command += ["--workers", str(workers), "--no-access-log", "--log-level", "error"]
    command += [] if name == "raw" else ["--factory"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603 - an application of this folder
        try:
            _await(port)
            yield Server(port, process)
        finally:
            process.terminate()


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def load(server: Server, connections: int = CONNECTIONS) -> Round:
    """Put a server under load for a stretch."""
    before = server.cpu_seconds()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", f"http://127.0.0.1:{server.port}{PATH}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - as above
    if _FAILED.search(said):
        raise RuntimeError(f"requests failed:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said)[1])
    mean, unit = re.search(r"Latency\s+([\d.]+)(us|ms|s)", said).groups()
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Round(rps, float(mean) * _UNITS[unit], (server.cpu_seconds() - before) / requests * 1e6)


def one_worker(rounds: int, names: tuple[str, ...]) -> dict[str, Round]:
    """Return the best round of each application, with its least processor time of any round.

    Every few rounds the servers are started anew: where a process's memory happens to lie is worth some percent.
    """
    found: dict[str, list[Round]] = {name: [] for name in names}
    for session in range(0, rounds, ROUNDS_A_PROCESS):
        with contextlib.ExitStack() as stack:
            servers = {name: stack.enter_context(served(name)) for name in names}
            for server in servers.values():
                load(server)  # warms it up
            for _ in range(min(ROUNDS_A_PROCESS, rounds - session)):
                for name, server in servers.items():
                    found[name].append(load(server))
    return {
        name: Round(max(r.rps for r in seen), min(r.mean_ms for r in seen), min(r.cpu_us for r in seen))
        for name, seen in found.items()
    }


def two_workers(rounds: int) -> dict[str, Round]:
    """Return the best round of two workers, for the targets of requests a second and mean."""
    with contextlib.ExitStack() as stack:
        servers = {n: stack.enter_context(served(n, workers=2)) for n in ("raw", "cached", "ours")}
        for server in servers.values():
            load(server)
        seen = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                seen[name].append(load(server, connections=16))
    return {name: max(rounds_of, key=lambda r: r.rps) for name, rounds_of in seen.items()}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=12)
    names = tuple(name for name in APPS if not (options.no_peers and name == "peers"))
    best = one_worker(options.rounds, names)
    bare = best["bare"]
    rows = [
        Row(
            TITLES[name],
            {
                "requests/s": r.rps,
                "of bare, %": 100 * r.rps / bare.rps,
                "CPU us/request": r.cpu_us,
                "by CPU, %": 100 * bare.cpu_us / r.cpu_us,
            },
        )
        for name, r in best.items()
    ]
    report(
        "One worker, GET of one route", rows, note="goals: ours at least 95 % of bare, cached at least 250 %"
    )
    pairs = two_workers(max(3, options.rounds // 3))
    report(
        "Two workers",
        [Row(TITLES[n], {"requests/s": r.rps, "mean ms": r.mean_ms}) for n, r in pairs.items()],
        note=f"wanted: {TARGET_RPS} requests/s at a mean of {TARGET_MEAN_MS} ms; raw is what this machine can do"
        f" with {os.cpu_count()} cores that serve and load at once",
    )
    one = {row.name: {column: round(value, 2) for column, value in row.figures.items()} for row in rows}
    two = {n: {"rps": round(r.rps), "mean_ms": round(r.mean_ms, 3)} for n, r in pairs.items()}
    save("fastapi_routes", {"one_worker": one, "two_workers": two})
    plot_bars(
        "fastapi_routes",
        "GET of one FastAPI route, one worker",
        "requests a second",
        {TITLES[name]: r.rps for name, r in best.items()},
        ours="ours",
    )


if __name__ == "__main__":
    main()
