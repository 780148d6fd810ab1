"""Requests cancelled at random points: no place is lost and no caller gets another's answer."""

import asyncio
import ssl

import pytest
import trustme

from resilience import CircuitBreakerConfig
from resilience.connections import ConnectionConfig
from support.http_clients import CLIENTS, Client
from support.http_server import http_server
from support.storm import REQUESTS, CancelStorm
from support.until import until

SIZE = 10


async def storm_of(client, server, seed):
    async def request(number):
        status, body = await client.get(f"{server.url}/echo/{number}?ticks={number % 7}")
        assert (status, body) == (200, str(number).encode())

    storm = CancelStorm(request, seed=seed)
    await storm.run()
    assert storm.finished + storm.cancelled == REQUESTS
    assert min(storm.finished, storm.cancelled) > REQUESTS / 20
    await until(lambda: client.in_use == 0)


async def places_that_work(client, server):
    """Fill the whole pool at once and count its answers: a lost place would keep the last of these waiting."""
    held = [asyncio.create_task(client.get(f"{server.url}/held")) for _ in range(SIZE)]
    await until(lambda: server.held == SIZE)
    server.release.set()
    answers = await asyncio.gather(*held)
    stats = client.manager.stats()["http"]
    assert (stats["in_use"], stats["waiting"]) == (0, 0)
    assert stats["idle"] <= SIZE
    return answers.count((200, b"released"))


@pytest.mark.parametrize("library", CLIENTS)
async def test_cancelled_requests_lose_no_place(library):
    config = ConnectionConfig(http_pool_size=SIZE)
    breaker = CircuitBreakerConfig(failure_threshold=1)
    async with http_server() as server, Client(library, config, breaker=breaker) as client:
        await storm_of(client, server, seed=library)
        assert await places_that_work(client, server) == SIZE


@pytest.mark.parametrize("library", CLIENTS)
async def test_cancelled_requests_over_tls_lose_no_place(library):
    authority = trustme.CA()
    serving, verifying = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(verifying)
    config = ConnectionConfig(http_pool_size=SIZE)
    async with http_server(serving) as server, Client(library, config, verify=verifying) as client:
        await storm_of(client, server, seed=library)
        assert await places_that_work(client, server) == SIZE
