"""What a service's `GET /metrics` answers, read back; and families to be shown there."""

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from resilience.observability import Family


def samples(text: str) -> dict[tuple[str, tuple], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(app: FastAPI, *paths: str) -> dict:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        for path in paths:
            await http.get(path)
        answer = await http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def counter(value: float) -> Family:
    family = Family("jobs", "counter", "x")
    family.put(value, kind="a")
    return family


def gauges(value: float) -> list[Family]:
    total, top = Family("active", "gauge", "x"), Family("state", "gauge", "x", merge="max")
    total.put(value)
    top.put(value)
    return [total, top]
