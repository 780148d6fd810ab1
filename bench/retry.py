"""How many of the calls that fail once a retry recovers, and what it costs upstream.

Every call is drawn from a seed: the figures are properties of the code, not of the machine.
"""

import random
from typing import Any

from harness import Row, arguments, drive, report, save

import resilience

CALLS = 100_000


def run(error_rate: float, *, attempts: int, budget: resilience.RetryBudget | None) -> dict[str, float]:
    """Shares of calls that succeed at once, are recovered, and are lost; upstream calls a call."""
    draw = random.Random(20_260_101)
    seen: list[int] = []

    async def upstream() -> None:
        seen[-1] += 1
        if draw.random() < error_rate:
            raise ConnectionError

    policy = resilience.retry(on=ConnectionError, attempts=attempts, wait_initial=0.0, budget=budget)
    guarded: Any = policy(upstream)
    failed_once = recovered = 0
    for _ in range(CALLS):
        seen.append(0)
        try:
            drive(guarded())
        except ConnectionError:
            failed_once += 1
        else:
            failed_once += seen[-1] > 1
            recovered += seen[-1] > 1
    return {"recovered %": 100.0 * recovered / failed_once, "upstream/call": sum(seen) / CALLS}


def main() -> None:
    arguments(__doc__ or "")
    rows = []
    for error_rate in (0.1, 0.3, 1.0):
        for name, floor in (("no budget", None), ("budget of 20 %", 0.0)):
            budget = None if floor is None else resilience.RetryBudget(0.2, floor)
            figures = run(error_rate, attempts=3, budget=budget)
            rows.append(Row(f"{error_rate:.0%} errors, 3 attempts, {name}", figures))
    report(f"Recovery of calls that failed once, {CALLS:,} calls each", rows)
    save("retry", {row.name: row.figures for row in rows})


if __name__ == "__main__":
    main()
