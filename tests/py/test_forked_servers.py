"""Servers that fork their workers, before and after the library is in use, under load."""

import asyncio
import os
import signal

import httpx
import pytest

from support.workers import served

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

APP = """
import asyncio, json, os
from resilience import KeyedCircuitBreaker, get_circuit_breaker
breaker = get_circuit_breaker("upstream")
keyed = KeyedCircuitBreaker(max_keys=10)
breaker.call_sync(int)  # used before any worker is forked

@breaker
async def ask(number):
    await asyncio.sleep(0)
    return number

async def app(scope, receive, send):
    if scope["type"] == "http":
        number = int(scope["path"][1:])
        keyed.for_key(number).record_success(0.001)
        body = {"answer": await ask(number), "worker": os.getpid(), "keys": len(keyed)}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})
"""


async def ask_all(address, count):
    """Answers to `count` requests at once, asked again until they come from every one of four workers."""
    # new connections reach every worker
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=0)
    workers = set()
    async with (
        asyncio.timeout(180),
        httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client,
    ):
        await ready(client)
        while len(workers) < 4:  # the last ones may still be starting
            answers = await asyncio.gather(*(client.get(f"/{number}") for number in range(count)))
            assert all(answer.status_code == 200 for answer in answers)
            workers |= {answer.json()["worker"] for answer in answers}
    return [answer.json() for answer in answers]


async def ready(client):
    while True:
        try:
            await client.get("/0")
        except httpx.TransportError:
            await asyncio.sleep(0)
        else:
            return


OPTIONS = {"uvicorn": ["--lifespan", "off"], "gunicorn": ["--preload"]}


@pytest.mark.parametrize("server", OPTIONS)
def test_workers_of_a_server_answer_under_load(server, tmp_path):
    with served(server, APP, tmp_path, *OPTIONS[server], workers=4) as (address, process):
        answers = asyncio.run(ask_all(address, 400))
    assert [answer["answer"] for answer in answers] == list(range(400))
    assert max(answer["keys"] for answer in answers) <= 10
    assert process.returncode in {0, -signal.SIGTERM}
