"""HTTP pools over a network that resets, refuses, half-closes and swallows connections."""

from urllib.parse import urlsplit

import pytest

from resilience import CircuitOpenError, State
from resilience.connections import ConnectionConfig
from support.fault_proxy import fault_proxy
from support.http_clients import CLIENTS, Client
from support.http_server import http_server
from support.until import until

pytestmark = pytest.mark.parametrize("library", CLIENTS)


@pytest.fixture
async def proxy():
    async with http_server() as server:
        upstream = urlsplit(server.url)
        async with fault_proxy(upstream.hostname, upstream.port) as running:
            running.url = f"http://127.0.0.1:{running.port}"
            yield running


async def test_a_network_that_refuses_opens_the_breaker(library, proxy):
    proxy.refuse = True
    async with Client(library) as client:
        for _ in range(3):
            with pytest.raises(Exception, match=r".*"):
                await client.get(f"{proxy.url}/echo/x")
        with pytest.raises(CircuitOpenError):
            await client.get(f"{proxy.url}/echo/x")
        assert client.breaker.state is State.OPEN
        assert client.in_use == 0


async def test_a_reset_in_the_middle_of_a_body_is_a_failure_and_frees_the_place(library, proxy):
    async with Client(library) as client:
        chunks = client.stream(f"{proxy.url}/stream")
        assert await anext(chunks) == b"first"
        proxy.reset()
        with pytest.raises(Exception, match=r".*"):
            await anext(chunks)
        await chunks.aclose()
        assert (client.breaker.failure_count, client.in_use) == (1, 0)


async def test_a_kept_connection_that_was_half_closed_is_not_used_again(library, proxy):
    async with Client(library) as client:
        assert await client.get(f"{proxy.url}/echo/one") == (200, b"one")
        proxy.half_close()
        await until(
            lambda: not proxy._pairs or client.manager.stats()["http"]["idle"] == 0 or library != "aiohttp"
        )
        assert await client.get(f"{proxy.url}/echo/two") == (200, b"two")
        assert proxy.accepted == 2


async def test_a_black_hole_ends_with_the_read_timeout(library, proxy):
    async with Client(library, ConnectionConfig(http_read_timeout=1.0)) as client:
        proxy.black_hole = True
        with pytest.raises(Exception, match=r".*"):
            await client.get(f"{proxy.url}/echo/x")
        assert (client.breaker.failure_count, client.in_use) == (1, 0)
        proxy.black_hole = False
        assert await client.get(f"{proxy.url}/echo/back") == (200, b"back")
