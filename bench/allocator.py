"""The allocator on recorded loads: forecasts, provisioning, and what an update costs.

The protocol is in ``bench/allocation/protocol.py``, the traces in ``bench/allocation/traces.py``. Forecasts are
compared by mean absolute error over that of "stays as it is", provisioning with reactive scaling at 70 % use, with
provisioning for the peak, and with perfect foresight. One fixed setting serves every trace.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict

from allocation.cost import costs
from allocation.plots import Story, plot_stories
from allocation.protocol import LEAD, Outcome, Task, foresight, judge, reactive, static
from allocation.traces import Trace, traces
from harness import Row, report, save

from allocation import rivals
from resilience.allocator import Forecaster, Provisioner

HIGH = 0.99
SIMPLE = ("last_value", "ewma", "day_profile", "week_profile", "holt_winters", "similar_periods")


def progress(name: str, stage: str, done: int, of: int) -> None:
    """Show how far a trace is, where somebody is looking."""
    if sys.stderr.isatty():
        bar = "#" * round(20 * done / of)
        end = "\n" if done == of else ""
        print(f"\r  {name:<24} [{bar:<20}] {stage:<24}", end=end, file=sys.stderr, flush=True)


def forecaster(trace: Trace, kind: str = "ensemble") -> Forecaster:
    return Forecaster(step=trace.step, lead_time=LEAD, kind=kind, start_time=trace.start)


def wanted(task: Task, *, guard: bool = True, kind: str = "ensemble") -> list[int]:
    provisioner = Provisioner(
        forecaster(task.trace, kind),
        capacity_per_unit=task.capacity,
        start_delay=LEAD,
        max_units=task.most,
        guard=guard,
    )
    return provisioner.replay(task.trace.values)


def errors(task: Task, means: Sequence[float]) -> float:
    """Return the mean absolute error over the judged part."""
    loads = task.trace.values
    judged = range(task.judged_from, len(loads) - task.lead)
    return sum(abs(means[step] - loads[step + task.lead]) for step in judged) / len(judged)


def band(task: Task) -> tuple[list[float], list[float], float]:
    """Return median and high forecasts by step, and how often the judged load stayed below the high ones."""
    machine = forecaster(task.trace)
    median, high = [], []
    for load in task.trace.values:
        machine.observe(load)
        quantiles = machine.forecast((0.5, HIGH)).quantiles
        median.append(quantiles[0.5])
        high.append(quantiles[HIGH])
    judged = range(task.judged_from, len(high) - task.lead)
    below = sum(task.trace.values[step + task.lead] <= high[step] for step in judged)
    return median, high, below / len(judged)


def accuracy(task: Task, peers: dict, origins: int) -> dict[str, float]:
    """Return each forecaster's error over that of the last value; the rivals' at few origins, and ours there."""
    loads = task.trace.values
    naive = errors(task, loads)
    found = {}
    ours = forecaster(task.trace).replay(loads)
    found["ensemble"] = errors(task, ours) / naive
    for kind in SIMPLE:
        found[kind] = errors(task, forecaster(task.trace, kind).replay(loads)) / naive
    if peers:
        chosen = rivals.origins(task, origins)
        seen = dict.fromkeys(("last value", "ensemble", *peers), 0.0)
        for done, origin in enumerate(chosen):
            progress(task.trace.name, f"rivals {done + 1}/{origins}", done + 1, origins + 1)
            truth = loads[origin + task.lead]
            seen["last value"] += abs(loads[origin] - truth)
            seen["ensemble"] += abs(ours[origin] - truth)
            for name, make in peers.items():
                seen[name] += abs(rivals.forecast(make, task, origin) - truth)
        for name in ("ensemble", *peers):
            found[f"{name} *"] = seen[name] / seen["last value"]
    return found


def provisioning(task: Task, ours: Sequence[float], against: Sequence[float]) -> dict[str, Outcome]:
    return {
        "ensemble": judge(task, ours),
        "fixed margin": judge(task, wanted(task, guard=False)),
        "similar periods": judge(task, wanted(task, kind="similar_periods")),
        "reactive": judge(task, against),
        "static": judge(task, static(task)),
        "foresight": judge(task, foresight(task)),
    }


def compared(task: Task, outcomes: dict[str, Outcome]) -> dict[str, float]:
    ours, rule, peak = outcomes["ensemble"], outcomes["reactive"], outcomes["static"]
    return {
        "cold": ours.cold,
        "cold reactive": rule.cold,
        "cold cut %": 100 * (1 - ours.cold / rule.cold) if rule.cold else 0.0,
        "hours %": 100 * (ours.worker_steps / rule.worker_steps - 1),
        "lost %": 100 * ours.lost,
        "lost react. %": 100 * rule.lost,
        "vs static %": 100 * (1 - ours.worker_steps / peak.worker_steps),
        "peak/mean": task.peak_to_mean,
    }


def against_goal(rows: list[Row], relative: float) -> dict[str, object]:
    """Return what was required and reached, and name the traces that miss it."""
    cut = statistics.median(row.figures["cold cut %"] for row in rows)
    hours = statistics.median(row.figures["hours %"] for row in rows)
    return {
        "median cold cut % (required 60, goal 75)": cut,
        "median hours % (required 5, goal 3)": hours,
        "relMAE (goal 0.70)": relative,
        "worse than reactive": [row.name for row in rows if row.figures["cold cut %"] < 0],
        "above +15 % hours": [row.name for row in rows if row.figures["hours %"] > 15],
        "less than 40 % below static at peak/mean 2": [
            row.name for row in rows if row.figures["peak/mean"] >= 2 and row.figures["vs static %"] < 40
        ],
        "below 60 % cold cut": [row.name for row in rows if row.figures["cold cut %"] < 60],
    }


def geometric(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="*", help="names; every trace by default")
    parser.add_argument("--origins", type=int, default=24, help="where rivals forecast (default %(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="leave statsforecast out")
    options = parser.parse_args()
    peers = {} if options.no_peers else rivals.models()
    stories, forecasts, rows, outcomes, covered = [], [], [], {}, {}
    for trace in traces(options.traces):
        task = Task.of(trace)
        progress(trace.name, "provisioning", 0, 4)
        ours, against = wanted(task), reactive(task)
        outcomes[trace.name] = provisioning(task, ours, against)
        rows.append(Row(trace.name, compared(task, outcomes[trace.name])))
        median, high, covered[trace.name] = band(task)
        stories.append(Story(task, median, high, ours, against))
        forecasts.append(Row(trace.name, accuracy(task, peers, options.origins)))
        progress(trace.name, "done", 1, 1)
    columns = forecasts[0].figures
    forecasts.append(
        Row("geometric mean", {c: geometric([row.figures[c] for row in forecasts]) for c in columns})
    )
    report(
        "mean absolute error / that of the last value",
        forecasts,
        note=f"* at {options.origins} origins a trace, where each rival is fitted anew",
    )
    report("provisioning, reactive scaling at 70 % use = 0", rows)
    verdict = against_goal(rows, forecasts[-1].figures["ensemble"])
    print()
    for name, value in verdict.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {', '.join(value) or 'none'}")
    print(f"judged loads below the {100 * HIGH:.0f} % forecast: " + _shares(covered))
    timing = costs()
    report("cost", [Row("ensemble, minutes, 15 min ahead", timing)])
    save(
        "allocator",
        {
            "forecasts": {row.name: row.figures for row in forecasts},
            "provisioning": {
                trace: {policy: asdict(outcome) for policy, outcome in by.items()}
                for trace, by in outcomes.items()
            },
            "compared": {row.name: row.figures for row in rows},
            "verdict": verdict,
            "median cold % of reactive": {
                "resilience": 100 - statistics.median(row.figures["cold cut %"] for row in rows),
                "reactive scaling": 100.0,
            },
            f"share below the {HIGH} forecast": covered,
            "cost": timing,
        },
    )
    plot_stories(stories)


def _shares(by_name: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in by_name.items())


if __name__ == "__main__":
    main()
