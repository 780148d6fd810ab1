"""The example's JSON metrics while a part's figures can't be read: that part says so, and all others are shown."""

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

import cache_metrics
import comprehensive_metrics
import process_metrics
from resilience.fastapi import install
from services import Services
from settings import Settings

UNREADABLE = {"status": "unavailable", "reason": "RuntimeError"}
CACHE = {"size": 1, "hits": 3, "misses": 1, "ttl_seconds": 300}


def fails():
    raise RuntimeError("on purpose")


@pytest.fixture
def served():
    app = FastAPI()
    services = app.state.services = Services(Settings(_env_file=None), install(app))
    services.connections = SimpleNamespace(
        config=SimpleNamespace(http_pool_size=100, enable_connection_reuse=True), stats=fails
    )
    services.pooling = SimpleNamespace(least=None, improvement={}, reason="not probed")
    services.loop_watch = SimpleNamespace(median=0.0)
    services.figures |= {"failing": fails, "working": lambda: {"count": 7}}
    services.caches |= {"failing": fails, "working": lambda: CACHE}
    services.batchers |= {"llm_batcher": fails, "working": lambda: {"total_batches": 1}}
    services.databases |= {"failing": fails}
    services.allocator = fails
    for part in (process_metrics, cache_metrics, comprehensive_metrics):
        part.attach(app, services)
    return app


async def get(app: FastAPI, path: str):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        answer = await http.get(path)
    assert answer.status_code == 200
    return answer.json()


async def test_a_part_that_fails_costs_no_other_parts_figures(served, caplog):
    for _ in range(2):
        metrics = (await get(served, "/api/metrics"))["metrics"]
        assert metrics["failing"] == UNREADABLE
        assert metrics["working"] == {"count": 7}
        assert metrics["requests"]["total"] >= 0
    assert caplog.text.count("the figures of failing can't be read: RuntimeError('on purpose')") == 1


async def test_a_cache_that_fails_is_left_out_of_the_sums(served):
    found = await get(served, "/api/metrics/cache")
    assert found["caches"]["failing"] == UNREADABLE
    assert found["caches"]["working"] == CACHE | {"hit_rate": "75.00%"}
    assert found["overall"]["total_hits"] == 3


async def test_a_redis_that_does_not_tell_all_of_its_figures_is_unavailable(served):
    served.state.services.redis = lambda: {"keyspace_hits": 1}
    found = await get(served, "/api/metrics/cache")
    assert found["caches"]["redis"] == {"status": "unavailable", "reason": "KeyError"}


async def test_the_overview_and_the_score_are_shown_without_what_fails(served):
    found = await get(served, "/api/metrics/comprehensive")
    components = found["components"]
    assert components["connection_pooling"]["connections"] == UNREADABLE
    assert components["connection_pooling"]["databases"] == {"failing": UNREADABLE}
    assert components["request_batching"] == {"llm_batcher": UNREADABLE, "working": {"total_batches": 1}}
    assert components["predictive_allocation"] == UNREADABLE
    details = found["score_details"]
    for check in ("cache_hit_rate", "request_batching", "predictive_allocation"):
        assert details[check]["points"] == 0
        assert details[check]["evidence"] == {"reason": "it can't be measured: RuntimeError"}


async def test_the_scrape_has_what_does_not_fail(served):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://service") as http:
        seen = (await http.get("/metrics")).text
    assert "resilience_pool_size" in seen
    assert 'resilience_metric_source_failures_total{source="caches"} 1.0' in seen
    assert 'resilience_metric_source_failures_total{source="batchers"} 1.0' in seen
    assert 'resilience_metric_source_failures_total{source="pools"} 0.0' in seen
