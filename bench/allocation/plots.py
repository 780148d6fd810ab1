"""Pictures of load, forecast band and allocation, and of what each trace cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness import RESULTS

from allocation.protocol import Task, trailing

DAYS = 2
POINTS = 700
"""Points a line: a picture can't show more."""


@dataclass(frozen=True)
class Story:
    """What happened on a trace, step by step."""

    task: Task
    median: Sequence[float]
    high: Sequence[float]
    wanted: Sequence[float]
    reactive: Sequence[float]


def plot_stories(stories: Sequence[Story]) -> None:
    """Draw the busiest days of each trace."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("install matplotlib for the plots")
        return
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "resilience"
    from matplotlib import pyplot as plt

    for story in stories:
        figure, axes = plt.subplots(figsize=(9, 3))
        _draw(axes, story)
        figure.tight_layout()
        name = story.task.trace.name.replace(", ", "-").replace(" ", "-")
        figure.savefig(RESULTS / f"allocator-{name}.svg", metadata={"Date": None})
        plt.close(figure)


def _draw(axes: "object", story: Story) -> None:
    task = story.task
    width = DAYS * task.trace.per_day
    first = _busiest(task, width)
    steps = range(first, first + width, max(1, width // POINTS))
    hours = [(step - first) * task.trace.step / 3600 for step in steps]
    warm = trailing(story.wanted, task.lead, min)

    def at(values: Sequence[float], scale: float = 1.0, late: int = 0) -> list[float]:
        return [scale * values[step - late] for step in steps]

    axes.fill_between(
        hours,
        at(story.median, late=task.lead),
        at(story.high, late=task.lead),
        color="#d1495b",
        alpha=0.25,
        linewidth=0,
        label="forecast 15 min before: median to 99 %",
    )
    axes.plot(hours, at(task.trace.values), color="#2b2d42", linewidth=0.7, label="load")
    axes.plot(hours, at(warm, task.capacity, 1), color="#d1495b", linewidth=1.0, label="capacity that serves")
    axes.plot(
        hours,
        at(trailing(story.reactive, task.lead, min), task.capacity, 1),
        color="#8d99ae",
        linewidth=0.8,
        label="the reactive rule's",
    )
    axes.set_title(f"{task.trace.name}, the busiest {DAYS} days", loc="left", fontsize=10)
    axes.set_xlabel("hours")
    axes.set_ylabel("load a step")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, 1.02))


def _busiest(task: Task, width: int) -> int:
    """Return where the judged days of most load begin; whole days, so that their shape is seen."""
    starts = range(task.judged_from, len(task.trace.values) - width + 1, task.trace.per_day)
    return max(starts, key=lambda first: sum(task.trace.values[first : first + width]))
