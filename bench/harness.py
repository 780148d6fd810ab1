"""Measuring side by side: interleaved rounds, the minimum of many, ratios, a table, JSON and a plot.

Absolute times differ from machine to machine and from minute to minute; the ratio of two minima that were
taken in alternating rounds of one run holds. Results go to ``bench/results``.
"""

import argparse
import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured and its figures by column."""

    name: str
    figures: dict[str, float]


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("the coroutine suspended")


def interleave(timed: dict[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """Call each function once a round and keep each one's minimum of the seconds they return."""
    best = dict.fromkeys(timed, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds):
            for name, run in timed.items():
                best[name] = min(best[name], run())
            if sys.stderr.isatty():
                print(f"\r  round {done + 1}/{rounds}", end="", file=sys.stderr)
    finally:
        gc.enable()
        if sys.stderr.isatty():
            print(file=sys.stderr)
    return best


def stopwatch(run: Callable[[], object], *, calls: int) -> Callable[[], float]:
    """Time one execution of `run` and return seconds a call."""

    def timed() -> float:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) / calls

    return timed


def report(title: str, rows: list[Row], *, note: str = "") -> None:
    """Print a table."""
    columns = list(rows[0].figures)
    width = max(len(row.name) for row in rows) + 2
    print(f"\n{title} (CPython {platform.python_version()})")
    print(" " * width + "".join(f"{column:>16}" for column in columns))
    for row in rows:
        print(f"{row.name:<{width}}" + "".join(f"{row.figures.get(c, float('nan')):>16.2f}" for c in columns))
    if note:
        print(note)


def save(name: str, payload: dict[str, Any]) -> Path:
    """Write a result to ``bench/results/<name>-<version>.json`` with the interpreter it was taken on."""
    RESULTS.mkdir(exist_ok=True)
    tag = f"{sys.version_info.major}{sys.version_info.minor}"
    path = RESULTS / f"{name}-{tag}.json"
    payload = {"python": platform.python_version(), "machine": platform.machine(), **payload}
    path.write_text(json.dumps(payload, indent=2, sort_keys=True) + "\n")
    return path


def plot_bars(name: str, title: str, unit: str, values: dict[str, float], *, ours: str) -> None:
    """Draw a horizontal bar a row on a logarithmic scale; nothing where matplotlib is missing."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("install matplotlib for the plot")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ordered = sorted(values.items(), key=lambda item: item[1], reverse=True)
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(ordered) + 1.2))
    colours = ["#d1495b" if label.startswith(ours) else "#8d99ae" for label, _ in ordered]
    bars = axes.barh([label for label, _ in ordered], [value for _, value in ordered], color=colours)
    axes.bar_label(bars, labels=[f"{value:.2f}" for _, value in ordered], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def arguments(description: str, *, rounds: int = 60) -> argparse.Namespace:
    """Parse the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="leave other libraries out")
    return parser.parse_args()
