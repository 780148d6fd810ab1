"""Where the page's figures come from: this process, or the metrics of a server that runs elsewhere."""

import math
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from time import time
from typing import Any, Literal

from resilience.connections._optional import require
from resilience.external._spec import check_base_url
from resilience.external._transfer import Transfer
from resilience.observability import Family, breaker_families

Gather = Callable[[], Awaitable[Iterable[Family]]]

_MAX_BYTES = 8 * 1024 * 1024
_TIMEOUT = 5.0
_OK = 200
_PREFIX = "resilience_"


class FiguresUnavailableError(Exception):
    """The server whose figures are wanted doesn't give them."""


async def own_breakers() -> Iterable[Family]:
    """Return what is known without an application: the breakers of this process."""
    return breaker_families()


class Scrape:
    """Asks a server for its metrics; belongs to the event loop of the first call.

    Args:
        target: the server's address; ``/metrics`` is asked for below it.

    Raises:
        ValueError: for what is no HTTP address.
        ImportError: when httpx or prometheus-client isn't installed.
    """

    def __init__(self, target: str) -> None:
        check_base_url(target, (), name="target")
        require("prometheus_client", "dashboard")
        self._url = f"{target.rstrip('/')}/metrics"
        self._transfer = Transfer("metrics", None, _TIMEOUT, _MAX_BYTES)

    async def __call__(self) -> Iterable[Family]:
        """Return what the server measured.

        Raises:
            FiguresUnavailableError: when it answers something else.
            ExternalApiError: when it doesn't answer.
        """
        received = await self._transfer.get(self._url, {"Accept": "text/plain"})
        if received.status != _OK:
            raise FiguresUnavailableError(f"the server answered {received.status}")
        try:
            return families_of(received.body.decode())
        except (ValueError, KeyError) as error:
            raise FiguresUnavailableError("the server's metrics are not in Prometheus' format") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._transfer.close()


def families_of(text: str) -> list[Family]:
    """Read families from Prometheus' text format; those of others are left out."""
    parse: Any = require("prometheus_client.parser", "dashboard").text_string_to_metric_families
    return [_family(metric) for metric in parse(text) if metric.name.startswith(_PREFIX)]


def _family(metric: Any) -> Family:
    if metric.type == "histogram":
        return _histogram(metric)
    kind: Literal["counter", "gauge"] = "counter" if metric.type == "counter" else "gauge"
    family = Family(metric.name, kind, metric.documentation)
    for sample in metric.samples:
        family.put(sample.value, **sample.labels)
    return family


def _histogram(metric: Any) -> Family:
    """Take the buckets' counts apart again: the text adds each to those below."""
    reached: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in metric.samples:
        labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
        if sample.name.endswith("_bucket"):
            reached.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    bounds = sorted({bound for buckets in reached.values() for bound, _ in buckets if math.isfinite(bound)})
    family = Family(metric.name, "histogram", metric.documentation, bounds=tuple(bounds))
    for labels, buckets in reached.items():
        counts = [0.0, *(count for _, count in sorted(buckets))]
        family.add(labels, [high - low for low, high in pairwise(counts)] + [sums.get(labels, 0.0)])
    return family


def as_json(families: Iterable[Family]) -> dict[str, Any]:
    """Return what the page reads."""
    return {
        "time": time(),
        "families": [
            {
                "name": family.name,
                "kind": family.kind,
                "bounds": list(family.bounds),
                "series": [
                    {"labels": dict(labels), "values": [_finite(value) for value in values]}
                    for labels, values in family.values.items()
                ],
            }
            for family in families
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
