"""What a load run measured, and what an outage in it showed."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

Transition = dict[str, Any]

SERVER_ERROR = 500
NO_ANSWER = 0
WAITED = 1.0
ALLOWED_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered request; times are UNIX seconds, `status` 0 when no answer came."""

    path: str
    sent_at: float
    seconds: float
    status: int
    degraded: bool
    lag: float

    @property
    def is_error(self) -> bool:
        """Whether the user got no proper answer."""
        return self.status == NO_ANSWER or self.status >= SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Outage:
    """When the upstream was taken away and given back, and what was seen of the breakers just then.

    Attributes:
        mode: How it was taken away.
        began: UNIX seconds of that.
        ended: UNIX seconds of the second look at the breakers, just before the upstream was given back.
        returned: UNIX seconds after which it answered again.
        in_flight: Calls it was answering when it was taken away.
        recovery_timeout: The breakers' own, in seconds.
        before: Statistics of every breaker when it began.
        after: The same when it ended.
    """

    mode: str
    began: float
    ended: float
    returned: float
    in_flight: int
    recovery_timeout: float
    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]


@dataclass(slots=True)
class Report:
    """Everything `--json` prints."""

    source: str
    speed: float
    seconds: float
    requests: int
    rps: float
    error_rate: float | None
    degraded_rate: float | None
    latency_ms: dict[str, dict[str, float | None]]
    statuses: dict[str, int]
    client_lag_p99_ms: float | None
    transitions: list[Transition]
    caches: dict[str, Any]
    batching: dict[str, Any]
    outage: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report JSON-ready."""
        return asdict(self)


def latencies(samples: Sequence[Sample]) -> dict[str, dict[str, float | None]]:
    """Summarise durations by path, and over all of the load."""
    by_path: dict[str, list[float]] = {}
    for sample in samples:
        if sample.status != NO_ANSWER:
            by_path.setdefault(sample.path, []).append(sample.seconds * 1e3)
    return {path: summary(values) for path, values in sorted(by_path.items())}


def summary(milliseconds: list[float]) -> dict[str, float | None]:
    """Return count, mean, p50, p99 and maximum."""
    if not milliseconds:
        return {"count": 0, "mean": None, "p50": None, "p99": None, "max": None}
    ordered = sorted(milliseconds)
    return {
        "count": len(ordered),
        "mean": round(statistics.fmean(ordered), 3),
        "p50": round(quantile(ordered, 0.5), 3),
        "p99": round(quantile(ordered, 0.99), 3),
        "max": round(ordered[-1], 3),
    }


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the q-th value of a sorted sequence that isn't empty."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def status_counts(samples: Sequence[Sample]) -> dict[str, int]:
    """Count answers by status; `none` where no answer came."""
    counts = Counter("none" if s.status == NO_ANSWER else str(s.status) for s in samples)
    return dict(sorted(counts.items()))


def judge_outage(outage: Outage, samples: Sequence[Sample], transitions: list[Transition]) -> dict[str, Any]:
    """Say for each breaker that opened whether it behaved, and whether users were answered."""
    names = {t["name"] for t in transitions if outage.began <= t["at"] <= outage.ended and t["to"] == "open"}
    healthy = sorted(s.seconds for s in samples if not s.degraded and s.status != NO_ANSWER)
    limit = outage.recovery_timeout + 2 * (quantile(healthy, 0.99) if healthy else 0.0)
    breakers = {name: _judge_breaker(outage, name, transitions, limit) for name in sorted(names)}
    opened = [figures["opened_after_s"] for figures in breakers.values()]
    probes = sum(figures["probes"] for figures in breakers.values())
    during = [s for s in samples if outage.began <= s.sent_at < outage.ended]
    since_open = outage.began + max(opened) if opened else outage.ended
    waited = [s for s in during if s.sent_at >= since_open and s.seconds > WAITED]
    return {
        "mode": outage.mode,
        "seconds": round(outage.ended - outage.began, 3),
        "in_flight_when_it_began": outage.in_flight,
        "recovery_timeout_s": outage.recovery_timeout,
        "breakers": breakers,
        "requests": len(during),
        "errors": sum(s.is_error for s in during),
        "fallbacks_served": sum(s.degraded for s in during),
        "waited_while_open": len(waited),
        "nothing_waited_beyond_probes": len(waited) <= probes,
    }


def _judge_breaker(outage: Outage, name: str, transitions: list[Transition], limit: float) -> dict[str, Any]:
    own = [t for t in transitions if t["name"] == name and t["at"] >= outage.began]
    opened = next(t["at"] for t in own if t["to"] == "open")
    probes = sum(t["from"] == "half_open" and t["at"] <= outage.ended for t in own)
    closed = next((t["at"] - outage.returned for t in own if t["to"] == "closed"), None)
    return {
        "opened_after_s": round(opened - outage.began, 3),
        "failures_until_open": (failures := _grown(outage, name, "failures") - probes),
        "opened_in_time": failures <= ALLOWED_FAILURES,
        "in_flight_when_it_opened": _grown(outage, name, "late"),
        "probes": probes,
        "closed_after_return_s": None if closed is None else round(closed, 3),
        "closed_in_time": closed is not None and closed <= limit,
    }


def _grown(outage: Outage, name: str, total: str) -> int:
    return int(outage.after[name]["totals"][total] - outage.before[name]["totals"][total])


def show(report: Report, console: Console) -> None:
    """Print the report as tables."""
    console.print(
        f"[bold]{report.requests}[/] requests in {report.seconds:.1f} s "
        f"({report.source}, {report.speed:g}x): [bold]{report.rps:.1f}[/] rps, "
        f"errors {_percent(report.error_rate)}, "
        f"degraded {_percent(report.degraded_rate)}, statuses {report.statuses}"
    )
    table = Table("path", "count", "mean ms", "p50", "p99", "max")
    for path, figures in report.latency_ms.items():
        table.add_row(path, *(str(figures[key]) for key in ("count", "mean", "p50", "p99", "max")))
    console.print(table)
    for transition in report.transitions:
        console.print(f"  {transition['name']}: {transition['from']} -> {transition['to']}")
    parts = {"caches": report.caches, "batching": report.batching, "outage": report.outage}
    for title, part in parts.items():
        if part:
            console.print(title, part)
    for note in report.notes:
        console.print(f"[dim]{note}[/]")


def _percent(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.2%}"
