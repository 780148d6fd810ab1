"""AutoETS and MSTL of statsforecast at origins spread over the judged part, where the library is installed.

They fit anew at each origin, which takes seconds on a grid of minutes, so they are compared at few origins, on at
most three weeks of history. AutoETS gets no season: it knows none longer than 24 steps. MSTL gets the day and the
week.
"""

import warnings
from collections.abc import Callable
from typing import Any

from allocation.protocol import Task

WEEKS = 3
MOST_STEPS = 4_032
"""Beyond so many steps a history is thinned to a coarser grid that keeps the origin and the lead on it."""


def models() -> dict[str, Callable[[int], Any]]:
    """Return makers of models by name, each from the steps a day; empty without the library."""
    try:
        from statsforecast.models import MSTL, AutoETS
    except ImportError as error:
        print(f"statsforecast is left out: {error}")
        return {}
    return {
        "AutoETS": lambda _day: AutoETS(season_length=1, model="ZZN"),
        "MSTL": lambda day: MSTL(season_length=[day, 7 * day], trend_forecaster=AutoETS(model="ZZN")),
    }


def origins(task: Task, count: int) -> list[int]:
    """Return steps from which forecasts are made, evenly spread."""
    last = len(task.trace.values) - 1 - task.lead
    return [
        task.judged_from + round(place * (last - task.judged_from) / max(1, count - 1))
        for place in range(count)
    ]


def forecast(make: Callable[[int], Any], task: Task, origin: int) -> float:
    """Fit to what was known at a step and forecast the load of the lead time."""
    import numpy as np

    day = task.trace.per_day
    known = task.trace.values[max(0, origin + 1 - WEEKS * 7 * day) : origin + 1]
    thin = next(
        width
        for width in range(1, task.lead + 1)
        if task.lead % width == 0
        and day % width == 0
        and (len(known) <= width * MOST_STEPS or width == task.lead)
    )
    known = known[len(known) % thin :]
    series = np.asarray(known, dtype=np.float64).reshape(-1, thin)
    coarse = series[:, -1] if thin == 1 else series.mean(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = make(day // thin).fit(coarse)
        return max(0.0, float(fitted.predict(h=task.lead // thin)["mean"][-1]))
