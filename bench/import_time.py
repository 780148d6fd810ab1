"""How long ``import resilience`` takes beyond ``import asyncio``, and how long until its first breaker.

Each import happens in a process of its own; the minimum of many is kept, interleaved.
"""

import subprocess
import sys

from harness import Row, arguments, report, save

PROGRAM = """
import asyncio, time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
STATEMENTS = {
    "import resilience": "import resilience",
    "from resilience import CircuitBreaker": "from resilience import CircuitBreaker",
    "everything public": "import resilience; [getattr(resilience, name) for name in resilience.__all__]",
    "import dataclasses, for scale": "import dataclasses",
}


def seconds_of(statement: str) -> float:
    program = PROGRAM.format(statement=statement)
    done = subprocess.run(  # noqa: S603 - the programs are the ones above
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    options = arguments(__doc__ or "", rounds=20)
    best = dict.fromkeys(STATEMENTS, float("inf"))
    for _ in range(options.rounds):
        for name, statement in STATEMENTS.items():
            best[name] = min(best[name], seconds_of(statement))
    rows = [Row(name, {"ms": seconds * 1e3}) for name, seconds in best.items()]
    report("Importing, beyond asyncio", rows)
    save("import_time", {"milliseconds": {name: seconds * 1e3 for name, seconds in best.items()}})


if __name__ == "__main__":
    main()
