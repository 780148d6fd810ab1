"""The stored ratios of a known good state, and what today's are worth beside them. Nothing is measured here.

A ratio was taken in several sessions, each with processes of its own. The baseline keeps their median, their
spread, and the tolerance that follows from it: what lies beyond is no accident of where memory lay or of what the
machine did meanwhile. Ratios hold on other machines; interpreters differ, so each version has its own.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median, stdev
from typing import Any

LEAST_TOLERANCE = 0.05
MOST_TOLERANCE = 0.25
DEVIATIONS = 4.0
LEAST_SESSIONS = 3


class Verdict(StrEnum):
    """What a ratio is beside its baseline."""

    SAME = "same"
    BETTER = "better"
    WORSE = "WORSE"
    UNSURE = "unsure: too noisy to tell"
    NEW = "new: not in the baseline"
    MISSING = "MISSING: in the baseline, but not measured"


FAILING = frozenset({Verdict.WORSE, Verdict.UNSURE, Verdict.MISSING})


class TooNoisyError(Exception):
    """The sessions differ so much that nothing could be told from a baseline of them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio, lower is better: the median of its sessions and their standard deviation over it."""

    ratio: float
    spread: float
    sessions: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Figure":
        """Summarise the sessions, three or more."""
        if len(ratios) < LEAST_SESSIONS:
            raise ValueError(f"sessions must be at least {LEAST_SESSIONS}, got {len(ratios)}")
        middle = median(ratios)
        return cls(middle, stdev(ratios) / middle, len(ratios))

    @property
    def tolerance(self) -> float:
        """The share by which another median may exceed this one before it is called worse."""
        return max(LEAST_TOLERANCE, DEVIATIONS * self.spread)

    @property
    def error(self) -> float:
        """The share that this median itself may be wrong by."""
        return 2 * self.spread / self.sessions**0.5


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison; a side that is not there is None."""

    name: str
    stored: float | None
    tolerance: float | None
    measured: float | None
    verdict: Verdict


def compare(stored: Mapping[str, Any], measured: Mapping[str, Figure]) -> list[Line]:
    """Judge each figure of either side."""
    return [_line(name, stored.get(name), measured.get(name)) for name in {**stored, **measured}]


def _line(name: str, stored: Mapping[str, float] | None, measured: Figure | None) -> Line:
    if stored is None:
        return Line(name, None, None, None if measured is None else measured.ratio, Verdict.NEW)
    if measured is None:
        return Line(name, stored["ratio"], stored["tolerance"], None, Verdict.MISSING)
    verdict = _verdict(stored["ratio"], stored["tolerance"], measured)
    return Line(name, stored["ratio"], stored["tolerance"], measured.ratio, verdict)


def _verdict(stored: float, tolerance: float, measured: Figure) -> Verdict:
    change = measured.ratio / stored - 1
    if change > tolerance:
        return Verdict.WORSE if change - measured.error > tolerance else Verdict.UNSURE
    return Verdict.BETTER if change < -tolerance else Verdict.SAME


class Baseline:
    """The file, with the figures of each interpreter version.

    Args:
        path: A JSON file; one that isn't there yet has no figures.
        version: Of the interpreter, as "3.11"; this one's by default.
    """

    def __init__(self, path: Path, version: str | None = None) -> None:
        self._path = path
        self.version = version or ".".join(platform.python_version_tuple()[:2])
        self._versions: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    @property
    def figures(self) -> dict[str, Any]:
        """What is stored of this version, by name; empty when nothing is."""
        return dict(self._versions.get(self.version, {}).get("figures", {}))

    def store(self, measured: Mapping[str, Figure]) -> None:
        """Replace the figures of this version; those of others stay.

        Raises:
            TooNoisyError: when a figure's tolerance would be above a quarter; nothing is stored then.
        """
        noisy = [name for name, figure in measured.items() if figure.tolerance > MOST_TOLERANCE]
        if noisy:
            raise TooNoisyError(f"sessions differ too much to be a baseline: {', '.join(noisy)}")
        figures = {
            name: {key: round(value, 4) for key, value in asdict(figure).items()}
            | {"tolerance": round(figure.tolerance, 4)}
            for name, figure in measured.items()
        }
        self._versions[self.version] = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "figures": figures,
        }
        self._path.write_text(json.dumps(self._versions, indent=2, sort_keys=True) + "\n")
