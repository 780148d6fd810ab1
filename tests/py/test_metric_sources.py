"""What `GET /metrics` gathers from: one source that fails, or talks nonsense, costs no other's figures."""

import json

import pytest
from fastapi import FastAPI

from resilience.fastapi import install, lifespan
from resilience.observability import Family, breaker_families
from support.scrapes import counter, gauges, scrape
from support.until import until


async def test_a_source_that_fails_costs_only_its_own_figures(caplog):
    jobs = []

    def half_a_source():
        yield counter(1)
        yield counter(jobs[0])

    app = FastAPI()
    state = install(app)
    state.sources.add(half_a_source, name="jobs")
    state.sources.add(lambda: gauges(3))
    for failures in (1, 2):
        seen = await scrape(app)
        assert ("jobs_total", (("kind", "a"),)) not in seen
        assert seen["active", ()] == 3
        assert seen["resilience_metric_source_failures_total", (("source", "jobs"),)] == failures
        assert seen["resilience_metric_source_failures_total", (("source", "http"),)] == 0
    assert caplog.text.count("the metrics of jobs are left out: IndexError") == 1
    jobs.append(7)
    seen = await scrape(app)
    assert seen["jobs_total", (("kind", "a"),)] == 1 + 7
    jobs.clear()
    await scrape(app)
    assert caplog.text.count("the metrics of jobs are left out") == 2, "it had recovered in between"


def labelled(**labels) -> Family:
    family = Family("jobs", "counter", "x")
    family.put(1, **labels)
    return family


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        counter(1j),
        labelled(kind=1),
        Family("", "gauge", "x"),
        Family("jobs", "gauge", None),
        Family("jobs", "histogram", "x", values={(): [1.0]}, bounds=(0.1,)),
        Family("jobs", "gauge", "x", values={(): []}),
    ],
)
async def test_what_is_no_family_that_can_be_shown_costs_only_its_source(nonsense):
    app = FastAPI()
    state = install(app)
    state.sources.add(lambda: [nonsense], name="nonsense")
    state.sources.add(lambda: gauges(3))
    seen = await scrape(app)
    assert seen["active", ()] == 3
    assert seen["resilience_metric_source_failures_total", (("source", "nonsense"),)] == 1


async def test_what_several_sources_measure_is_one_family_and_none_of_theirs_changes():
    kept, app = counter(1), FastAPI()
    sources = install(app).sources
    for source in (lambda: [kept], lambda: [labelled(kind="b")], lambda: [labelled(kind="a")]):
        sources.add(source)
    for _ in range(2):
        seen = await scrape(app)
        assert (seen["jobs_total", (("kind", "a"),)], seen["jobs_total", (("kind", "b"),)]) == (2, 1)
    assert [family.name for family in sources.own()].count("jobs") == 1


async def test_sources_go_by_their_functions_names_unless_told():
    app = FastAPI()
    install(app).sources.add(breaker_families)
    name = f"{breaker_families.__module__}.breaker_families"
    assert ("resilience_metric_source_failures_total", (("source", name),)) in await scrape(app)


async def test_a_source_that_fails_does_not_end_the_sharing_of_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIENCE_METRICS_DIR", str(tmp_path / "m"))
    app = FastAPI()
    state = install(app)
    jobs = []
    state.sources.add(lambda: [counter(jobs[0])], name="jobs")
    async with lifespan(app):
        await until(lambda: list((tmp_path / "m").glob("*.json")))
    (snapshot,) = (tmp_path / "m").glob("*.json")
    shared = {family["name"]: family["values"] for family in json.loads(snapshot.read_text())}
    assert "jobs" not in shared
    assert [[["source", "jobs"]], [2.0]] in shared["resilience_metric_source_failures"]
