"""Write the README's table of figures from the newest results: ours, the best other library's, and where it is from.

Nothing is measured here. ``bench/results`` holds what the benchmarks saved; a test holds the README to it.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results"
BEGIN, END = "<!-- figures: ./dev bench summary writes them -->\n", "<!-- end of figures -->"


@dataclass(frozen=True)
class Measure:
    """A line of the table: where it is saved, which entry (and column) is ours, and which ones do the same job."""

    what: str
    bench: str
    path: tuple[str, ...]
    ours: str
    form: str
    beside: Callable[[str], bool] = lambda name: (
        name not in {"bare await", "empty wrapper", "dict.get", "dict"}
    )
    best: Callable[..., Any] = min
    column: str | None = None

    def row(self, results: Path) -> str | None:
        """The line in Markdown; None when nothing was saved."""
        saved = results / f"{self.bench}-311.json"
        if not saved.is_file():
            return None
        found = json.loads(saved.read_text())
        for key in self.path:
            found = found[key]
        if self.column is not None:
            found = {name: figures[self.column] for name, figures in found.items()}
        peers = [name for name in found if not name.startswith("resilience") and self.beside(name)]
        ours = self.form.format(found[self.ours])
        peer = self.best(peers, key=found.__getitem__) if peers else None
        theirs = "" if peer is None else f"{self.form.format(found[peer])} ({peer})"
        return f"| {self.what} | **{ours}** | {theirs} | `{self.bench}` |"


WRAPPERS = "{:.2f} empty wrappers"
MEASURES = (
    Measure("a call through a circuit breaker", "guarded_call", ("overhead",), "resilience", WRAPPERS),
    Measure(
        "retry, breaker, rate limit, bulkhead and timeout", "pipeline", ("overhead",), "resilience", WRAPPERS
    ),
    Measure("a call that suspends under a timeout", "timeout", ("overhead",), "resilience.timeout", WRAPPERS),
    Measure(
        "cache: `get` that hits, with expiry",
        "cache",
        ("get_hit_over_dict_get",),
        "resilience, ttl, stats",
        "{:.2f} x `dict.get`",
        lambda name: "no ttl" not in name and name != "dict.get",
    ),
    Measure(
        "cache: decorated function, hit",
        "cache",
        ("async_hit_over_bare_await",),
        "resilience, ttl, stats",
        "{:.2f} x a bare `await`",
    ),
    Measure(
        "FastAPI route under breaker, retry, timeout, metrics, correlation id",
        "fastapi_routes",
        ("one_worker",),
        "ours: breaker, retry, timeout, metrics, correlation id",
        "{:.0f} % of the bare route",
        lambda name: not name.startswith(("bare", "ours", "raw")),
        max,
        "of bare, %",
    ),
    Measure(
        "one of three model providers hangs: p95 beyond the others' own",
        "failover",
        ("hang",),
        "resilience",
        "{:.0f} ms",
        column="above own ms",
    ),
    Measure(
        "batches of 100", "batcher", ("batches of 100",), "resilience", "{:,.0f} items/s", lambda _: True, max
    ),
    Measure(
        "workers that start too late, for as many worker-hours",
        "allocator",
        ("median cold % of reactive",),
        "resilience",
        "{:.0f} %",
    ),
)


def table(results: Path = RESULTS) -> str:
    rows = [row for measure in MEASURES if (row := measure.row(results)) is not None]
    head = "| what | resilience | best of the others | `./dev bench` |\n|---|---|---|---|\n"
    return f"\n{head}{chr(10).join(rows)}\n\n"


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    written = re.sub(
        f"({re.escape(BEGIN)}).*({re.escape(END)})", lambda m: m[1] + table() + m[2], text, flags=re.DOTALL
    )
    if "--check" in sys.argv:
        sys.exit(written != text)
    readme.write_text(written)
    print(table())


if __name__ == "__main__":
    main()
