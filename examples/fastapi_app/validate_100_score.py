"""Runs every check of the HTTP contract and of the architecture score against a running server.

It makes its own traffic first: probes, a breaker opened and recovered, and a stretch of the recorded load. Exits
with 0 when the score is 100 and every check of the contract passed, else with 1 and the reasons.
"""

import argparse
import asyncio
import signal
import sys
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from contract_checks import CONTRACT, reports_all
from http_checks import Check, Finding, fetch
from load_shape import shape
from load_test import Client, bars, drive
from load_trace import load_arrivals

FULL = 100
PROBES = 300


async def checked(check: Check, session: aiohttp.ClientSession) -> Finding:
    """Run one check; an answer that it can't even read is a finding too."""
    try:
        return await check(session)
    except (LookupError, TypeError, ValueError, AttributeError, TimeoutError, aiohttp.ClientError) as error:
        return Finding(
            getattr(check, "__name__", "check"), passed=False, seen=f"{type(error).__name__}: {error}"
        )


async def validate(arguments: argparse.Namespace, console: Console) -> bool:
    """Check the contract, make traffic, and read the score; returns whether everything is as it should be."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(arguments.url, timeout=timeout) as session:
        findings = [await checked(check, session) for check in CONTRACT]
        console.print(f"a load of {arguments.seconds:g} s follows, then the score")
        await make_traffic(session, arguments, console)
        for _ in range(PROBES):
            await fetch(session, "GET", "/healthz")
        report = (await fetch(session, "GET", "/api/metrics/comprehensive")).body
        findings.append(await checked(reports_all, session))
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
    try:
        passed = asyncio.run(validate(parser.parse_args(), Console(stderr=True)))
    except aiohttp.ClientConnectorError as error:
        sys.exit(f"there is no server to validate: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
