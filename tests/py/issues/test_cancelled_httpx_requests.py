"""httpcore #1099 and its family: a request cancelled at the wrong turn kept its connection for ever."""

import asyncio
import contextlib

import pytest

from resilience.connections import ConnectionConfig
from support.http_clients import Client
from support.http_server import http_server


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_no_turn_of_a_request_is_the_wrong_one_to_cancel(library):
    async with http_server() as server, Client(library, ConnectionConfig(http_pool_size=1)) as client:
        for turns in range(60):
            task = asyncio.create_task(client.get(f"{server.url}/echo/x"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert client.in_use == 0
            assert client.manager.stats()["http"]["idle"] <= 1
        assert await client.get(f"{server.url}/echo/fine") == (200, b"fine")
        states = [connection.info() for connection in client.manager._http._plain._pool.connections]
        assert all("IDLE" in state for state in states)
