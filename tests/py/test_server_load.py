"""What an allocator samples of a whole server, its workers together."""

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from resilience._core import ManualClock
from resilience._worker_folder import started
from resilience.allocator import PredictiveResourceAllocator
from resilience.fastapi import install, server_load
from resilience.observability import Family, WorkerShare, allocator_families
from resilience.observability._prometheus import render


def service():
    app = FastAPI()
    app.get("/")(lambda: "here")
    return app, install(app)


async def get(app, times):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        for _ in range(times):
            await http.get("/")


async def test_requests_become_rates_from_the_second_sample_on():
    app, state = service()
    clock = ManualClock()
    read = server_load(state, now=clock.now)
    await get(app, 5)
    first = await read()
    assert (first.rpm, first.connections, first.cpu_cores) == (None, 0.0, None)
    await get(app, 3)
    clock.advance(30.0)
    second = await read()
    assert second.rpm == 6.0
    assert second.response_time > 0
    assert second.cpu_cores >= 0


async def test_what_sibling_workers_served_counts_too(tmp_path):
    app, state = service()
    clock = ManualClock()
    folder = tmp_path / "share"
    sibling = WorkerShare(folder)
    sibling._own = folder / f"1-{started(1)}-1.json"  # a process that lives: the first one
    state.sources._share = WorkerShare(folder)
    read = server_load(state, now=clock.now)
    await read()
    await get(app, 2)
    requests = Family("resilience_http_requests", "counter", "", "sum")
    requests.put(10, method="GET", route="/", status="200")
    active = Family("resilience_connections_active", "gauge", "", "sum")
    active.put(4, name="http")
    sibling.publish([requests, active])
    clock.advance(60.0)
    seen = await read()
    assert seen.rpm == pytest.approx(12.0)
    assert seen.connections == 4.0


def test_an_allocators_forecasts_are_exported_for_autoscalers():
    machine = PredictiveResourceAllocator(clock=ManualClock(0.0))
    machine.observe({"rpm": 140.0, "connections": 50.0})
    text = render(allocator_families(machine.get_predictions())).decode()
    seen = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert seen["resilience_allocation", "workers"] == 20
    assert seen["resilience_forecast", "rpm"] == 140.0
    assert seen["resilience_forecast", "rpm_p90"] >= 140.0
    assert seen["resilience_forecast", "connections"] == 50.0
    assert seen["resilience_rpm_per_worker",] == 10.0
    assert seen["resilience_allocator_active",] == 0.0
