"""Pools under fire: requests cancelled at random points, sizes changed under load, a database restarted and frozen.

Prints what was lost, crossed, leaked, written twice or complained of, which should be nothing, and how soon reads and
writes were back after an outage. Exits with 1 when something is wrong; times decide nothing.
"""

import argparse
import asyncio
import logging
import os
import sys
from typing import Any

from harness import Row, report, save

FAULTS = ("leaked", "crossed", "warnings", "lost", "written twice", "unexpected")


async def storms(requests: int) -> dict[str, dict[str, dict[str, float]]]:
    from pool_storms.kinds import KINDS
    from pool_storms.storms import cancelled, resized

    found: dict[str, dict[str, dict[str, float]]] = {"cancelled": {}, "resized": {}}
    for name, make in KINDS.items():
        async with make() as kind:
            found["cancelled"][name] = await cancelled(kind, name)
        async with make() as kind:
            found["resized"][name] = await resized(kind, max(200, requests // 5))
        print(f"  {name}: done", file=sys.stderr)
    return found


async def outages() -> dict[str, dict[str, dict[str, float]]]:
    from pool_storms.outages import OUTAGES, a_server, outage, writes_refused

    found: dict[str, dict[str, dict[str, float]]] = {"outages": {}, "writes refused": {}}
    for scheme in ("postgresql", "postgresql+asyncpg"):
        server = a_server()
        try:
            for name in OUTAGES:
                found["outages"][f"{name} ({scheme})"] = await outage(name, server, scheme)
            found["writes refused"][scheme] = await writes_refused(server, scheme)
        finally:
            server.close()
    return found


TITLES = {
    "cancelled": "Requests cancelled at random points",
    "resized": "Sizes changed under load",
    "outages": "PostgreSQL's bad days, recovery_timeout 2 s",
    "writes refused": "The write breaker open",
}


def wrongs(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    return [
        f"{TITLES[part]}, {name}: {figures[fault]:.0f} {fault}"
        for part, rows in found.items()
        for name, figures in rows.items()
        for fault in FAULTS
        if figures.get(fault)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="cancelled through each pool")
    parser.add_argument("--only", choices=("storms", "outages"), help="one half")
    options = parser.parse_args()
    os.environ["RESILIENCE_STORM_REQUESTS"] = str(options.requests)
    logging.getLogger("resilience").setLevel(logging.CRITICAL)  # outages are made on purpose here
    found: dict[str, Any] = {}
    if options.only != "outages":
        found |= asyncio.run(storms(options.requests))
    if options.only != "storms":
        found |= asyncio.run(outages())
    for part, rows in found.items():
        report(TITLES[part], [Row(name, figures) for name, figures in rows.items()])
    save("pools", found)
    wrong = wrongs(found)
    print(
        "\n"
        + ("\n".join(wrong) if wrong else "nothing lost, leaked, crossed, written twice or complained of")
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
