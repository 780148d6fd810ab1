"""Runs every check of the HTTP contract and of the architecture score against a running server.

It makes its own traffic first: probes, a breaker opened and recovered, and a stretch of the recorded load. Exits
with 0 when the score is 100 and every check of the contract passed, else with 1 and the reasons.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from load_shape import EMBEDDINGS, shape
from load_test import Client, bars, drive
from load_trace import load_arrivals

FULL = 100
PROBES = 300
RECOVERY_TRIES = 600
RECOVERY_PAUSE = 0.05
BREAKER = "ollama"
COMPONENTS = (
    "connection_pooling",
    "circuit_breakers",
    "cache_monitoring",
    "request_batching",
    "predictive_allocation",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of the contract saw."""

    name: str
    passed: bool
    seen: str


Check = Callable[[aiohttp.ClientSession], Awaitable[Finding]]


async def fetch(
    session: aiohttp.ClientSession, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """Return status and JSON body of one request."""
    async with session.request(method, path, json=body) as response:
        return response.status, await response.json(content_type=None)


def answers(path: str, *keys: str) -> Check:
    """Return a check that a GET route answers 200 with these keys."""

    async def check(session: aiohttp.ClientSession) -> Finding:
        status, body = await fetch(session, "GET", path)
        missing = [key for key in keys if key not in body]
        passed = status == 200 and not missing  # noqa: PLR2004
        return Finding(f"GET {path}", passed, f"{status}, missing {missing}" if missing else str(status))

    return check


async def opens_on_demand(session: aiohttp.ClientSession) -> Finding:
    """A fresh breaker opens after the failures asked for, and refuses the next call."""
    path = "/api/test/circuit-breaker/trigger-failure/validation?failure_count=3"
    status, body = await fetch(session, "POST", path)
    passed = body.get("final_state") == "open" and len(body.get("test_results", ())) == 4  # noqa: PLR2004
    return Finding("trigger-failure", status == 200 and passed, f"{status} {body.get('final_state')}")  # noqa: PLR2004


async def refuses_bad_counts(session: aiohttp.ClientSession) -> Finding:
    """A failure count out of range is 422."""
    statuses = []
    for count in (0, 101):
        path = f"/api/test/circuit-breaker/trigger-failure/validation?failure_count={count}"
        statuses.append((await fetch(session, "POST", path))[0])
    return Finding("trigger-failure range", statuses == [422, 422], str(statuses))


async def reset_of_unknown(session: aiohttp.ClientSession) -> Finding:
    """Resetting a breaker that isn't there is 404."""
    status, _ = await fetch(session, "POST", "/api/test/circuit-breaker/reset/no-such-breaker")
    return Finding("reset of an unknown breaker", status == 404, str(status))  # noqa: PLR2004


async def recovers(session: aiohttp.ClientSession) -> Finding:
    """A live breaker opens after three failures, and closes by itself once calls succeed again."""
    await fetch(session, "POST", f"/api/test/circuit-breaker/trigger-failure/{BREAKER}?failure_count=3")
    state = "unknown"
    for attempt in range(RECOVERY_TRIES):
        await fetch(session, "POST", "/api/agents/research/run", {"input": f"recovery {attempt}"})
        status = (await fetch(session, "GET", "/api/test/circuit-breaker/status"))[1]
        state = status[BREAKER]["state"]
        if state == "closed":
            break
        await asyncio.sleep(RECOVERY_PAUSE)
    return Finding("a live breaker recovers", state == "closed", state)


async def runs_a_command(session: aiohttp.ClientSession) -> Finding:
    """A command is classified and answered."""
    status, body = await fetch(session, "POST", "/api/nl/process", {"text": "Explain a recent paper"})
    return Finding("POST /api/nl/process", status == 200 and bool(body.get("output")), str(status))  # noqa: PLR2004


async def embeds(session: aiohttp.ClientSession) -> Finding:
    """Texts are embedded, one vector each."""
    status, body = await fetch(session, "POST", EMBEDDINGS, {"texts": ["a", "b"]})
    vectors = body.get("embeddings", [])
    same = {len(vector) for vector in vectors} == {body.get("dimensions")}
    return Finding(f"POST {EMBEDDINGS}", status == 200 and len(vectors) == 2 and same, str(status))  # noqa: PLR2004


CONTRACT: tuple[Check, ...] = (
    answers("/healthz", "status"),
    answers("/health", "status", "dependencies"),
    answers("/ready", "status"),
    answers("/circuit-breakers/health", "circuit_breakers"),
    answers("/api/metrics", "status", "timestamp", "metrics"),
    answers("/api/metrics/cache", "timestamp", "caches", "overall"),
    answers("/api/metrics/comprehensive", "architecture_score", "components", "performance", "score_details"),
    answers("/api/test/circuit-breaker/status"),
    answers("/api/agents"),
    answers("/api/workflows"),
    runs_a_command,
    embeds,
    opens_on_demand,
    refuses_bad_counts,
    reset_of_unknown,
    recovers,
)


async def validate(arguments: argparse.Namespace, console: Console) -> bool:
    """Check the contract, make traffic, and read the score; returns whether everything is as it should be."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(arguments.url, timeout=timeout) as session:
        findings = [await check(session) for check in CONTRACT]
        console.print(f"a load of {arguments.seconds:g} s follows, then the score")
        await make_traffic(session, arguments, console)
        for _ in range(PROBES):
            await fetch(session, "GET", "/healthz")
        _, report = await fetch(session, "GET", "/api/metrics/comprehensive")
    missing = [name for name in COMPONENTS if name not in report["components"]]
    findings.append(
        Finding("every component reports", not missing, f"missing {missing}" if missing else "all")
    )
    show(findings, report, Console())
    return report["architecture_score"] == FULL and all(finding.passed for finding in findings)


async def make_traffic(
    session: aiohttp.ClientSession, arguments: argparse.Namespace, console: Console
) -> None:
    """Send a stretch of the recorded load."""
    arrivals, _ = load_arrivals(arguments.seed)
    shaped = shape(arrivals, speed=arguments.speed, seed=arguments.seed, embeddings=True)
    requests = [request for request in shaped if request.at <= arguments.seconds]
    with bars(console, hidden=False) as progress:
        await drive(Client(session), requests, progress, arguments)


def show(findings: list[Finding], report: dict[str, Any], console: Console) -> None:
    """Print what passed, and why the rest did not."""
    table = Table("check", "", "seen")
    for finding in findings:
        table.add_row(finding.name, "[green]ok[/]" if finding.passed else "[red]failed[/]", finding.seen)
    for name, detail in report["score_details"].items():
        points = f"{detail['points']}/{detail['possible']}"
        table.add_row(f"{name}: {detail['requirement']}", points, str(detail["evidence"]))
    console.print(table)
    console.print(f"architecture score: [bold]{report['architecture_score']}[/]")


def main() -> None:
    """Validate, and exit by the result."""
    parser = argparse.ArgumentParser(description="Check a running server against its contract and its score.")
    parser.add_argument("--url", default="http://127.0.0.1:8003", help="the server")
    parser.add_argument("--speed", type=float, default=40.0, help="compression of the trace's time")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the load")
    parser.add_argument("--seed", type=int, default=1, help="of the load's prompts")
    parser.set_defaults(outage=None)
    passed = asyncio.run(validate(parser.parse_args(), Console(stderr=True)))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
