"""Forecasts of one load, and the units to provision for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resilience import _core
from resilience._checks import as_float, flag, number

Trend = Literal["increasing", "decreasing", "stable"]
KINDS: tuple[str, ...] = _core.forecast_kinds()
"""The kinds of forecaster there are."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of a load at one moment.

    Attributes:
        mean: The value expected, in the load's unit.
        quantiles: By quantile in (0, 1), the value that is not exceeded with that probability.
        confidence: Trust in [0, 1].
        trend: Where the last ten values lead; `stable` within 0.5 a step.
    """

    mean: float
    quantiles: dict[float, float]
    confidence: float
    trend: Trend


def check_numbers(name: str, values: object) -> list[float]:
    """Return numbers as floats.

    Raises:
        TypeError: when it is no iterable of numbers.
    """
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be an iterable of numbers, got {values!r}")
    return [number(name, value) for value in values]


def check_whole(name: str, value: object) -> float:
    """Return a whole number as a float.

    Raises:
        TypeError: when it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    return as_float(value)


class Forecaster:
    """Forecasts one load from its own past, one value a step.

    The default, `ensemble`, mixes discounted ridge regressions on lags, means and profiles with "stays as it
    is", weighted online by recent error (ML-Poly: Gaillard, Stoltz and van Erven, 2014); it needs two days
    before it says more than the last value. The other kinds are plain: `similar_periods` (mean of the last
    seven days' samples at the target's hour and weekday, UTC), `holt_winters`, `day_profile`, `week_profile`,
    `ewma`, `last_value`. Quantiles come from the residuals.

    Safe to share between threads; the GIL is given up while it works.

    Args:
        step: Seconds between two values, in [1, 86400].
        lead_time: How far ahead to forecast, seconds in (0, 604800].
        kind: One of `KINDS`.
        start_time: UNIX seconds (UTC) of the first value; hours and weekdays follow from it.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when an argument is no number.
    """

    def __init__(
        self, *, step: float, lead_time: float, kind: str = "ensemble", start_time: float = 0.0
    ) -> None:
        if not isinstance(kind, str):
            raise TypeError(f"kind must be a string, got {kind!r}")
        self._native = _core.NativeForecaster(
            step=number("step", step),
            lead_time=number("lead_time", lead_time),
            kind=kind,
            start_time=number("start_time", start_time),
        )

    def observe(self, value: float | None) -> None:
        """Take the next step's value, in [0, 1e15]; None is a gap, which is not learned from.

        Raises:
            ValueError: when the value is negative or not finite.
        """
        self._native.observe(value)

    def replay(self, values: Sequence[float | None]) -> list[float]:
        """Observe many values; return the mean forecast after each."""
        return self._native.replay(values)

    def forecast(self, quantiles: Iterable[float] = (0.5, 0.9)) -> Forecast:
        """Return what is expected `lead_time` after the last step.

        Args:
            quantiles: Numbers in (0, 1).

        Raises:
            ValueError: when a quantile is out of range.
            TypeError: when one is no number.
        """
        wanted = check_numbers("quantiles", quantiles)
        mean, values, confidence, trend = self._native.forecast(wanted)
        return Forecast(mean, dict(zip(wanted, values, strict=True)), confidence, trend)

    def __len__(self) -> int:
        """Return the number of steps observed, gaps included."""
        return self._native.count()


class Provisioner:
    """Says how many units to provision now, so that they serve when the load comes.

    It covers the forecast of every step of the start delay with a margin in units of the forecast's spread,
    and lets a unit go only when it could be warm again in time. With the guard, a grid of margins runs on
    paper beside a reactive rule (capacity for the largest load of the start delay, at least 15 minutes, at
    `target_utilization`), and whatever was lately best in cold steps and cost decides; nothing that is worse
    than the reactive rule lastingly does. Until the forecaster has learned, the reactive rule decides.

    Args:
        forecaster: Fed by `observe`; use one forecaster a provisioner.
        capacity_per_unit: Load that one unit serves, > 0.
        target_utilization: Of a unit under the reactive rule, in (0, 1].
        start_delay: Seconds until a new unit serves, in (0, 86400].
        min_units: Never fewer, >= 0.
        max_units: Never more, >= max(1, min_units).
        guard: Whether the reactive rule and the other margins run as shadows; without, one fixed margin.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when an argument has the wrong type.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        *,
        capacity_per_unit: float,
        target_utilization: float = 0.7,
        start_delay: float,
        min_units: int = 1,
        max_units: int,
        guard: bool = True,
    ) -> None:
        if not isinstance(forecaster, Forecaster):
            raise TypeError(f"forecaster must be a Forecaster, got {forecaster!r}")
        self.forecaster = forecaster
        self._native = _core.NativeProvisioner(
            forecaster=forecaster._native,  # noqa: SLF001 - the two share one machine
            capacity_per_unit=number("capacity_per_unit", capacity_per_unit),
            target_utilization=number("target_utilization", target_utilization),
            start_delay=number("start_delay", start_delay),
            min_units=check_whole("min_units", min_units),
            max_units=check_whole("max_units", max_units),
            guard=flag("guard", guard),
        )

    def observe(self, value: float | None) -> int:
        """Take the next step's load and return the units that should be provisioned from now on.

        Args:
            value: Finite and >= 0; None is a gap, at which no unit is given back.

        Raises:
            ValueError: when the value is negative or not finite.
        """
        return self._native.observe(value)

    def replay(self, values: Sequence[float | None]) -> list[int]:
        """Observe many values; return the units after each."""
        return self._native.replay(values)

    def explain(self) -> dict[str, Any]:
        """Return why the last decision was what it was: `units`, `reactive_units`, `forecast`, `margin`,
        `floor` and `rule` (`reactive` or `forecast`).
        """  # noqa: D205 - the keys are the summary
        return self._native.decision()

    def set_start_delay(self, seconds: float) -> None:
        """Plan for another start delay, in (0, 86400] seconds; the shadows start anew.

        Raises:
            ValueError: when it is out of range.
        """
        self._native.set_start_delay(seconds)
