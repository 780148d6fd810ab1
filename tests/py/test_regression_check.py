"""How a run of the regression check is judged against the stored baseline; nothing is measured here."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from regression_parts.baseline import (
    FAILING,
    LEAST_TOLERANCE,
    Baseline,
    Figure,
    TooNoisyError,
    Verdict,
    compare,
)

STORED = Path(__file__).parents[2] / "bench/regression_baseline.json"
QUIET = [1.0, 1.001, 0.999]


def times(factor, ratios=QUIET):
    return Figure.of([factor * ratio for ratio in ratios])


@pytest.fixture
def baseline(tmp_path):
    return Baseline(tmp_path / "baseline.json", "3.11")


def verdict(baseline, measured):
    baseline.store({"route": times(1.0)})
    [line] = compare(baseline.figures, {"route": measured})
    return line.verdict


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.0, Verdict.SAME),
        (1 + 0.9 * LEAST_TOLERANCE, Verdict.SAME),
        (1 - 0.9 * LEAST_TOLERANCE, Verdict.SAME),
        (1 + 1.2 * LEAST_TOLERANCE, Verdict.WORSE),
        (1 - 1.2 * LEAST_TOLERANCE, Verdict.BETTER),
        (3.0, Verdict.WORSE),
    ],
)
def test_a_change_beyond_the_tolerance_is_told_and_one_within_it_is_not(baseline, factor, expected):
    assert verdict(baseline, times(factor)) is expected


def test_a_change_that_the_runs_own_noise_may_explain_is_no_verdict_but_no_pass_either(baseline):
    noisy = Figure.of([0.9, 1.08, 1.2])
    assert verdict(baseline, noisy) is Verdict.UNSURE
    assert Verdict.UNSURE in FAILING


def test_the_tolerance_follows_the_spread_between_sessions_and_has_a_least():
    assert times(1.0).tolerance == LEAST_TOLERANCE
    spread = Figure.of([0.98, 1.0, 1.02])
    assert spread.tolerance == pytest.approx(4 * 0.02)
    assert Figure.of([9.8, 10.0, 10.2]).tolerance == pytest.approx(spread.tolerance)


def test_a_noisy_machine_stores_no_baseline(baseline):
    baseline.store({"route": times(1.0)})
    with pytest.raises(TooNoisyError, match="call"):
        baseline.store({"route": times(2.0), "call": Figure.of([0.7, 1.0, 1.3])})
    assert baseline.figures["route"]["ratio"] == 1.0


def test_a_figure_that_only_one_side_has_is_named_and_one_that_vanished_fails(baseline):
    baseline.store({"gone": times(1.0), "kept": times(1.0)})
    lines = compare(baseline.figures, {"kept": times(1.0), "added": times(2.0)})
    verdicts = {line.name: line.verdict for line in lines}
    assert verdicts == {"gone": Verdict.MISSING, "kept": Verdict.SAME, "added": Verdict.NEW}
    assert Verdict.MISSING in FAILING
    assert Verdict.NEW not in FAILING


def test_each_version_of_python_keeps_its_own_figures(tmp_path):
    path = tmp_path / "baseline.json"
    Baseline(path, "3.11").store({"route": times(1.0)})
    Baseline(path, "3.12").store({"route": times(2.0)})
    assert Baseline(path, "3.11").figures["route"]["ratio"] == 1.0
    assert Baseline(path, "3.12").figures["route"]["ratio"] == 2.0
    assert Baseline(path, "3.13").figures == {}


def test_two_sessions_are_too_few_to_know_a_spread():
    with pytest.raises(ValueError, match="at least 3"):
        Figure.of([1.0, 1.1])


def test_the_stored_baseline_has_every_figure_with_a_tolerance_from_its_spread():
    versions = json.loads(STORED.read_text())
    assert versions
    for found in versions.values():
        assert {"python", "machine", "figures"} <= set(found)
        assert len(found["figures"]) == 5
        for figure in found["figures"].values():
            expected = Figure(figure["ratio"], figure["spread"], figure["sessions"]).tolerance
            assert figure["tolerance"] == pytest.approx(expected, abs=4e-4)
