"""Whether this state of the code is slower than the stored one: ratios to bare routes and calls, of the same run.

Exits with 0 when nothing is worse than its baseline allows, with 1 when something is, and with 2 when no baseline is
stored for this version of Python. `--update` stores the figures as the new baseline instead.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from harness import Row, report
from regression_parts.baseline import FAILING, LEAST_SESSIONS, Baseline, Figure, Line, TooNoisyError, compare
from regression_parts.routes import ratios

HERE = Path(__file__).parent
BASELINE = HERE / "regression_baseline.json"
FIGURES = {
    "ours": "route under the middleware, CPU of the bare route's",
    "cached": "answer from the response cache, CPU of the bare route's",
    "guarded": "guarded call, empty wrappers",
    "pipeline": "pipeline of five policies, empty wrappers",
    "cached call": "cached call that hits, bare awaits",
}


def session(rounds: int) -> dict[str, float]:
    """Measure everything once, in processes of this session's own."""
    command = [sys.executable, str(HERE / "regression_parts/calls.py")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - a script of ours
    return ratios(rounds) | json.loads(said)


def measure(sessions: int, rounds: int) -> dict[str, Figure]:
    """Return every figure by its title."""
    seen = []
    for number in range(sessions):
        print(f"session {number + 1} of {sessions}", file=sys.stderr)
        seen.append(session(rounds))
    return {title: Figure.of([each[name] for each in seen]) for name, title in FIGURES.items()}


def show(lines: list[Line]) -> None:
    """Print the comparison."""
    width = max(len(line.name) for line in lines) + 2
    print(f"{'ratio, lower is better':<{width}}{'baseline':>10}{'allowed':>10}{'measured':>10}  verdict")
    for line in lines:
        allowed = None if line.stored is None else line.stored * (1 + (line.tolerance or 0.0))
        cells = "".join(
            f"{'-' if value is None else f'{value:.3f}':>10}"
            for value in (line.stored, allowed, line.measured)
        )
        print(f"{line.name:<{width}}{cells}  {line.verdict}")


def update(baseline: Baseline, measured: dict[str, Figure]) -> int:
    """Store what was measured, and say so."""
    try:
        baseline.store(measured)
    except TooNoisyError as error:
        print(f"nothing was stored: {error}; try again when the machine is quieter", file=sys.stderr)
        return 1
    columns = {
        title: {
            "ratio": figure.ratio,
            "spread, %": 100 * figure.spread,
            "tolerance, %": 100 * figure.tolerance,
        }
        for title, figure in measured.items()
    }
    report(f"Stored for Python {baseline.version}", [Row(*item) for item in columns.items()])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="store what is measured as the new baseline")
    parser.add_argument(
        "--sessions", type=int, default=5, help="each with new processes (default %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=4, help="interleaved ones a session (default %(default)s)"
    )
    options = parser.parse_args()
    if options.sessions < LEAST_SESSIONS or options.rounds < 1:
        parser.error(f"--sessions must be at least {LEAST_SESSIONS}, --rounds at least 1")
    baseline = Baseline(BASELINE)
    if not baseline.figures and not options.update:
        print(f"no baseline is stored for Python {baseline.version}: run this with --update", file=sys.stderr)
        return 2
    measured = measure(options.sessions, options.rounds)
    if options.update:
        return update(baseline, measured)
    lines = compare(baseline.figures, measured)
    show(lines)
    return int(any(line.verdict in FAILING for line in lines))


if __name__ == "__main__":
    sys.exit(main())
