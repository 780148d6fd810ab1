"""Metric families in Prometheus' text format, by prometheus-client."""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from resilience.observability._families import Family

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Prometheus metrics need prometheus-client: pip install 'resilience-native[fastapi]'", name=error.name
    ) from error

__all__ = ["CONTENT_TYPE", "render"]


class _Families(Collector):
    """Shows families that are already gathered; nothing is kept between scrapes."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield prometheus-client's own families."""
        for family in self._families:
            yield _metric(family)


def render(families: Iterable[Family]) -> bytes:
    """Return the families as a scrape expects them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return generate_latest(registry)


def _metric(family: Family) -> Metric:
    names = [name for name, _ in next(iter(family.values), ())]
    if family.kind == "histogram":
        return _histogram(family, names)
    if family.kind == "counter":
        metric: CounterMetricFamily | GaugeMetricFamily = CounterMetricFamily(
            family.name, family.help, labels=names
        )
    else:
        metric = GaugeMetricFamily(family.name, family.help, labels=names)
    for labels, (value,) in family.values.items():
        metric.add_metric([text for _, text in labels], value)
    return metric


def _histogram(family: Family, names: list[str]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=names)
    bounds = [*map(str, family.bounds), "+Inf"]
    for labels, (*counts, total) in family.values.items():
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        metric.add_metric([text for _, text in labels], buckets=buckets, sum_value=total)
    return metric
