"""Runs every check of the HTTP contract and of the architecture score against a running server.

It makes its own traffic first: probes, a breaker opened and recovered, and a stretch of the recorded load. Exits
with 0 when the score is 100 and every check of the contract passed, else with 1 and the reasons.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import aiohttp
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from contract_checks import AFTER_LOAD, contract
from http_checks import Check, Finding, checked, fetch
from load_report import status_counts
from load_shape import shape
from load_test import CONNECTIONS, Client, bars, drive
from load_trace import load_arrivals
from script_runs import HEALTH_PATH, UnusableServerError, address, positive, reach, run_script

FULL = 100
MAX_ERROR_RATE = 0.05
TIMEOUT = 60.0
TOKEN = "RESILIENCE_ADMIN_TOKEN"  # noqa: S105 - the variable's name


async def validate(arguments: argparse.Namespace, console: Console) -> bool:
    """Check the contract, make traffic, and read the score; returns whether everything is as it should be."""
    token = os.environ.get(TOKEN)
    async with aiohttp.ClientSession(
        arguments.url,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    ) as session:
        await reach(session, arguments.wait)
        with bars(console, hidden=False) as progress:
            findings = await run_all(contract(arguments.recovery), session, progress)
            findings.append(await make_traffic(session, arguments, progress))
        report = await read_report(session)
        findings += [await checked(check, session) for check in AFTER_LOAD]
    show(findings, report, Console())
    return report["architecture_score"] == FULL and all(finding.passed for finding in findings)


async def run_all(
    checks: Sequence[Check], session: aiohttp.ClientSession, progress: Progress
) -> list[Finding]:
    """Run the checks one after the other."""
    return [await checked(check, session) for check in progress.track(checks, description="contract")]


async def make_traffic(
    session: aiohttp.ClientSession, arguments: argparse.Namespace, progress: Progress
) -> Finding:
    """Send a stretch of the recorded load, and tell what its users would have seen."""
    arrivals, source = load_arrivals(arguments.seed)
    shaped = shape(arrivals, speed=arguments.speed, seed=arguments.seed, embeddings=True)
    requests = [request for request in shaped if request.at <= arguments.seconds]
    client = Client(session)
    await drive(client, requests, progress, arguments)
    load = [sample for sample in client.samples if sample.path != HEALTH_PATH]
    errors, degraded = sum(sample.is_error for sample in load), sum(sample.degraded for sample in load)
    seen = f"{len(load)} requests ({source}): statuses {status_counts(load)}, {degraded} by the fallback"
    return Finding("users of the load are answered", errors < MAX_ERROR_RATE * len(load), seen)


async def read_report(session: aiohttp.ClientSession) -> dict[str, Any]:
    """Return the server's own report, with its score; raises UnusableServerError when it has none."""
    path = "/api/metrics/comprehensive"
    answer = await fetch(session, "GET", path)
    if not isinstance(answer.body, dict) or "architecture_score" not in answer.body:
        raise UnusableServerError(f"there is no score: GET {path} is answered with {answer.status}")
    return dict(answer.body)


def show(findings: list[Finding], report: dict[str, Any], console: Console) -> None:
    """Print what was seen, then the score with each reason for what it lacks."""
    table = Table("check", "", "seen")
    reasons = []
    for finding in findings:
        result = "[green]ok[/]" if finding.passed else "[red]failed[/]"
        table.add_row(Text(finding.name, overflow="fold"), result, Text(finding.seen, overflow="fold"))
        if not finding.passed:
            reasons.append(f"failed: {finding.name}: {finding.seen}")
    for name, detail in report["score_details"].items():
        points, evidence = f"{detail['points']}/{detail['possible']}", told(detail["evidence"])
        table.add_row(f"{name}: {detail['requirement']}", points, Text(evidence, overflow="fold"))
        if detail["points"] < detail["possible"]:
            reasons.append(f"{points} for {name}: {detail['requirement']}; seen: {evidence}")
    console.print(table)
    console.print(f"architecture score: [bold]{report['architecture_score']}[/]")
    for reason in reasons:
        console.print(Text(reason), soft_wrap=True)


def told(evidence: dict[str, Any]) -> str:
    """Write a measurement as text."""
    return ", ".join(f"{name} {value}" for name, value in evidence.items())


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Check a running server against its contract and its score.",
        epilog=f"A server that wants an admin's token for its test routes gets the one in {TOKEN}. "
        "Exits with 0 at a score of 100 with every check passed, else with 1 and the reasons.",
    )
    parser.add_argument("--url", type=address, default="http://127.0.0.1:8003", help="the server")
    parser.add_argument("--speed", type=positive, default=40.0, help="compression of the trace's time")
    parser.add_argument("--seconds", type=positive, default=60.0, help="length of the load")
    parser.add_argument("--recovery", type=positive, default=30.0, help="seconds a breaker may take to close")
    parser.add_argument(
        "--wait", type=positive, default=0.0, help="seconds that the server may take to start"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the load's prompts")
    parser.set_defaults(outage=None)
    return parser.parse_args(words)


def main() -> None:
    """Validate, and exit by the result."""
    arguments = parse(sys.argv[1:])
    passed = run_script(validate(arguments, Console(stderr=True)))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
