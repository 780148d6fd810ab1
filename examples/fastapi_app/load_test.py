"""Replays recorded arrivals against a running server and reports what its users would have seen.

With `--outage START:SECONDS` the local upstream is taken away in the middle of the run and given back.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from load_report import (
    NO_ANSWER,
    Outage,
    Report,
    Sample,
    judge_outage,
    latencies,
    quantile,
    show,
    status_counts,
)
from load_shape import EMBEDDINGS, Request, shape
from load_trace import load_arrivals
from script_runs import HEALTH_PATH, UnusableServerError, address, positive, reach, run_script

HEALTH_INTERVAL = 0.1
CONNECTIONS = 512


@dataclass(slots=True)
class Client:
    """Sends requests and keeps what came of them."""

    session: aiohttp.ClientSession
    samples: list[Sample] = field(default_factory=list)

    async def send(self, method: str, path: str, body: object = None, due: float | None = None) -> None:
        """Send one request and take its sample; `due` is the loop time it should have been sent at."""
        sent_at, started = time.time(), asyncio.get_running_loop().time()
        status, degraded = NO_ANSWER, False
        try:
            async with self.session.request(method, path, json=body) as response:
                answer = await response.read()
                status = response.status
                degraded = b'"degraded":true' in answer
        except (aiohttp.ClientError, TimeoutError):
            pass  # no answer is what the sample says
        seconds = asyncio.get_running_loop().time() - started
        self.samples.append(Sample(path, sent_at, seconds, status, degraded, started - (due or started)))

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """Return the JSON answer of a route, None where the server has none."""
        async with self.session.request(method, path, json=body) as response:
            return dict(await response.json()) if response.status == 200 else None  # noqa: PLR2004


async def replay(client: Client, requests: list[Request], progress: Progress) -> None:
    """Send every request at its time, however slow the answers are."""
    loop = asyncio.get_running_loop()
    bar = progress.add_task("requests", total=len(requests))
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for request in requests:
            due = start + request.at
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            group.create_task(client.send("POST", request.path, request.body, due))
            progress.advance(bar)


async def watch_health(client: Client) -> None:
    """Ask the cheapest route ten times a second."""
    while True:
        await client.send("GET", HEALTH_PATH)
        await asyncio.sleep(HEALTH_INTERVAL)


async def take_away(client: Client, mode: str, start: float, seconds: float) -> Outage:
    """Make the upstream fail for a while in the middle of the run."""
    await asyncio.sleep(start)
    before = await breaker_stats(client)
    began = time.time()
    action, behaviour = ("kill", None) if mode == "kill" else ("behave", {"mode": mode})
    journal = await client.ask("POST", f"/api/test/upstream/{action}", behaviour)
    if journal is None:
        raise UnusableServerError("an outage needs a server with test routes and an upstream of its own")
    await asyncio.sleep(seconds)
    after, ended = await breaker_stats(client), time.time()
    back = "start" if mode == "kill" else "behave"
    await client.ask("POST", f"/api/test/upstream/{back}")
    returned = time.time()
    metrics = await client.ask("GET", "/api/metrics") or {}
    recovery = metrics["metrics"]["circuit_breakers"]["recovery_timeout_seconds"]
    return Outage(
        mode=mode,
        began=began,
        ended=ended,
        returned=returned,
        in_flight=journal["in_flight"],
        recovery_timeout=recovery,
        before=before,
        after=after,
    )


async def breaker_stats(client: Client) -> dict[str, Any]:
    """Return the statistics of every breaker."""
    health = await client.ask("GET", "/circuit-breakers/health") or {}
    return dict(health["circuit_breakers"])


async def run(arguments: argparse.Namespace, console: Console) -> Report:
    """Run the load and gather the report."""
    arrivals, source = load_arrivals(arguments.seed)
    timeout = aiohttp.ClientTimeout(total=arguments.timeout)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(arguments.url, timeout=timeout, connector=connector) as session:
        await reach(session)
        client = Client(session)
        paths = (await client.ask("GET", "/openapi.json") or {}).get("paths", {})
        shaped = shape(arrivals, speed=arguments.speed, seed=arguments.seed, embeddings=EMBEDDINGS in paths)
        requests = [request for request in shaped if request.at <= arguments.seconds]
        began = time.time()
        with bars(console, hidden=arguments.json) as progress:
            outage = await drive(client, requests, progress, arguments)
        report = await gather(client, source, arguments.speed, began, outage)
    if EMBEDDINGS not in paths:
        report.notes.append(f"the server has no {EMBEDDINGS}: every request was a command")
    return report


async def drive(
    client: Client, requests: list[Request], progress: Progress, arguments: argparse.Namespace
) -> Outage | None:
    """Replay the requests beside the health watch and the outage."""
    health = asyncio.create_task(watch_health(client))
    outage = None
    if arguments.outage is not None:
        outage = asyncio.create_task(take_away(client, arguments.outage_mode, *arguments.outage))
    await replay(client, requests, progress)
    health.cancel()
    return await outage if outage is not None else None


async def gather(client: Client, source: str, speed: float, began: float, outage: Outage | None) -> Report:
    """Turn samples and the server's own figures into a report."""
    load = [sample for sample in client.samples if sample.path != HEALTH_PATH]
    seconds = max((s.sent_at + s.seconds for s in load), default=began) - began
    metrics = (await client.ask("GET", "/api/metrics") or {}).get("metrics", {})
    recorded = metrics.get("circuit_breakers", {}).get("transitions", [])
    transitions = [transition for transition in recorded if transition["at"] >= began]
    comprehensive = await client.ask("GET", "/api/metrics/comprehensive") or {}
    lags = sorted(sample.lag for sample in load)
    return Report(
        source=source,
        speed=speed,
        seconds=round(seconds, 3),
        requests=len(load),
        rps=round(len(load) / seconds, 2) if seconds else 0.0,
        error_rate=sum(s.is_error for s in load) / len(load) if load else None,
        degraded_rate=sum(s.degraded for s in load) / len(load) if load else None,
        latency_ms=latencies(client.samples),
        statuses=status_counts(load),
        client_lag_p99_ms=round(quantile(lags, 0.99) * 1e3, 3) if lags else None,
        transitions=transitions,
        caches=(await client.ask("GET", "/api/metrics/cache") or {}).get("overall", {}),
        batching=comprehensive.get("components", {}).get("request_batching", {}),
        outage=None if outage is None else judge_outage(outage, load, transitions),
    )


@contextmanager
def bars(console: Console, *, hidden: bool) -> Iterator[Progress]:
    """Show progress on the terminal, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield progress


def outage_span(text: str) -> tuple[float, float]:
    """Parse `START:SECONDS`."""
    try:
        start, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError("write it as START:SECONDS, for example 10:15") from None
    return start, seconds


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Replay recorded arrivals against the example server.")
    parser.add_argument("--url", type=address, default="http://127.0.0.1:8003", help="the server")
    parser.add_argument("--speed", type=positive, default=40.0, help="compression of the trace's time")
    parser.add_argument("--seconds", type=positive, default=60.0, help="length of the run")
    parser.add_argument("--seed", type=int, default=1, help="of prompts, and of arrivals without a recording")
    parser.add_argument("--timeout", type=positive, default=30.0, help="seconds a user waits for an answer")
    parser.add_argument("--outage", type=outage_span, help="START:SECONDS without the upstream")
    parser.add_argument("--outage-mode", choices=["kill", "hang", "fail"], default="kill")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(words)


def main() -> None:
    """Run the load test."""
    arguments = parse(sys.argv[1:])
    console = Console(stderr=True)
    report = run_script(run(arguments, console))
    if arguments.json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        show(report, Console())


if __name__ == "__main__":
    main()
