"""Guarded transports: the same rules for httpx, httpx2 and aiohttp, over real sockets."""

import asyncio
import contextlib
import re
import ssl

import pytest
import trustme

from resilience import (
    CircuitBreakerConfig,
    CircuitOpenError,
    State,
    deadline,
    get_all_circuit_breakers,
    timeout,
)
from resilience._core import SystemClock
from resilience.connections import ConnectionConfig, Target, UpstreamGuard, by_route
from resilience.testing import ManualClock
from support.http_clients import CLIENTS, Client
from support.http_server import http_server
from support.until import until

pytestmark = pytest.mark.parametrize("library", CLIENTS)


@pytest.fixture
async def server():
    async with http_server() as running:
        yield running


async def test_an_answer_below_400_is_a_success(library, server):
    async with Client(library) as client:
        assert await client.get(f"{server.url}/echo/hello") == (200, b"hello")
        assert client.breaker.success_count == 1
        assert client.in_use == 0


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_a_failing_status_opens_the_breaker_and_reaches_the_caller(library, server, status):
    async with Client(library) as client:
        for _ in range(3):
            assert await client.get(f"{server.url}/status/{status}") == (status, b"so it is")
        assert client.breaker.state is State.OPEN
        with pytest.raises(CircuitOpenError):
            await client.get(f"{server.url}/status/{status}")
        assert server.requests == 3
        assert client.in_use == 0


async def test_a_callers_own_mistakes_count_for_nothing(library, server):
    async with Client(library) as client:
        for _ in range(10):
            await client.get(f"{server.url}/status/404")
        stats = client.breaker.get_stats()
        assert (stats["failure_count"], stats["success_count"], stats["state"]) == (0, 0, "closed")


async def test_retry_after_opens_the_breaker_for_that_long(library, server):
    clock = SystemClock()
    async with Client(library) as client:
        asked = clock.now()
        await client.get(f"{server.url}/status/429?Retry-After=250")
        assert client.breaker.state is State.OPEN
        assert asked + 250 <= client.breaker.opened_until <= clock.now() + 250
        with pytest.raises(CircuitOpenError) as rejected:
            await client.get(f"{server.url}/echo/x")
        assert 0 < rejected.value.retry_after <= 250


@pytest.mark.parametrize("value", ["-1", "nan", "rubbish", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_senseless_retry_after_is_ignored(library, server, value):
    async with Client(library) as client:
        await client.get(f"{server.url}/status/503?Retry-After={value}".replace(" ", "%20"))
        assert client.breaker.state is State.CLOSED
        assert client.breaker.failure_count == 1


async def test_a_huge_retry_after_is_clamped(library, server):
    async with Client(library) as client:
        await client.get(f"{server.url}/status/503?Retry-After=1000000000")
        with pytest.raises(CircuitOpenError) as rejected:
            await client.get(f"{server.url}/echo/x")
        assert rejected.value.retry_after <= 300


async def test_a_refused_connection_is_a_failure(library, server):
    async with Client(library) as client:
        await server.stop()
        for _ in range(3):
            with pytest.raises(Exception, match=r"."):
                await client.get(f"{server.url}/echo/x")
        assert client.breaker.state is State.OPEN
        assert client.in_use == 0


async def test_a_streaming_body_is_one_call_that_lasts_until_its_end(library, server):
    async with Client(library) as client:
        chunks = client.stream(f"{server.url}/stream")
        assert await anext(chunks) == b"first"
        assert (client.breaker.success_count, client.in_use) == (0, 1)
        server.release.set()
        assert [chunk async for chunk in chunks] == [b"last"]
        assert (client.breaker.success_count, client.in_use) == (1, 0)


async def test_a_body_that_breaks_off_is_a_failure(library, server):
    async with Client(library) as client:
        chunks = client.stream(f"{server.url}/cut")
        assert await anext(chunks) == b"part"
        server.release.set()
        with pytest.raises(Exception, match=r"."):
            await anext(chunks)
        await chunks.aclose()
        assert (client.breaker.failure_count, client.in_use) == (1, 0)


async def test_leaving_a_body_early_is_a_success(library, server):
    async with Client(library) as client:
        async with contextlib.aclosing(client.stream(f"{server.url}/stream")) as chunks:
            assert await anext(chunks) == b"first"
        await until(lambda: client.in_use == 0)
        stats = client.breaker.get_stats()
        assert (stats["failure_count"], stats["success_count"]) == (0, 1)


async def test_a_cancelled_request_is_no_verdict_and_keeps_no_place(library, server):
    async with Client(library) as client:
        for path in ("held", "stream"):
            task = asyncio.create_task(client.get(f"{server.url}/{path}"))
            await server.arrived.acquire()
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: client.in_use == 0)
        stats = client.breaker.get_stats()
        assert (stats["failure_count"], stats["success_count"]) == (0, 0)


async def test_hosts_have_breakers_of_their_own(library, server):
    async with http_server() as other, Client(library) as client:
        for _ in range(3):
            await client.get(f"{server.url}/status/500")
        assert await client.get(f"{other.url}/echo/fine") == (200, b"fine")
        states = [breaker.state for breaker in client.manager.guard.breakers.values()]
        assert states == [State.OPEN, State.CLOSED]


async def test_routes_may_have_breakers_of_their_own(library, server):
    async with Client(library, key=by_route("/status/*")) as client:
        for _ in range(3):
            await client.get(f"{server.url}/status/500")
        with pytest.raises(CircuitOpenError):
            await client.get(f"{server.url}/status/200")
        assert await client.get(f"{server.url}/echo/fine") == (200, b"fine")


async def test_breakers_are_listed_by_host(library, server):
    async with Client(library) as client:
        await client.get(f"{server.url}/echo/x")
        name = "http:" + server.url.removeprefix("http://")
        assert get_all_circuit_breakers()[name] is client.breaker


async def test_a_kept_connection_is_used_again(library, server):
    async with Client(library) as client:
        for _ in range(10):
            await client.get(f"{server.url}/echo/x")
        stats = client.manager.stats()["http"]
        assert server.connections == 1
        assert (stats["opened"], stats["idle"], stats["reuse_rate"]) == (1, 1, 0.9)


async def test_without_reuse_each_request_has_its_own_connection(library, server):
    async with Client(library, ConnectionConfig(enable_connection_reuse=False)) as client:
        for _ in range(5):
            await client.get(f"{server.url}/echo/x")
        assert server.connections == 5
        assert client.manager.stats()["http"]["reuse_rate"] == 0.0


async def test_requests_go_over_tls_to_a_server_that_is_verified(library):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    serving, verifying = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    certificate.configure_cert(serving)
    authority.configure_trust(verifying)
    async with http_server(serving) as server:
        async with Client(library, verify=verifying) as client:
            assert await client.get(f"{server.url}/echo/secret") == (200, b"secret")
        async with Client(library) as stranger:
            with pytest.raises(Exception, match=r"(?i)certificate"):
                await stranger.get(f"{server.url}/echo/secret")
            assert stranger.in_use == 0


def told(server):
    found = re.search(r"(?im)^x-time-left: (\d+)\r$", server.last_head)
    return None if found is None else int(found[1])


async def test_upstreams_are_told_how_long_a_caller_will_wait(library, server):
    async with Client(library, deadline_header="X-Time-Left") as client:
        async with deadline(20):
            await client.get(f"{server.url}/echo/x")
        assert 0 < told(server) <= 20_000
        await client.get(f"{server.url}/echo/x")
        assert told(server) is None
        await timeout(10)(client.get)(f"{server.url}/echo/x")
        assert 0 < told(server) <= 10_000


async def test_upstreams_are_told_nothing_unless_asked(library, server):
    async with Client(library) as client, deadline(20):
        await client.get(f"{server.url}/echo/x")
        assert "x-request-timeout-ms" not in server.last_head.lower()


@pytest.mark.parametrize(("name", "error"), [("", ValueError), ("X: 1\r\nY", ValueError), (5, TypeError)])
def test_a_bad_deadline_header_is_refused(library, name, error):
    with pytest.raises(error, match="deadline_header"):
        Client(library, deadline_header=name)


async def test_an_open_breaker_recovers_by_probes(library, server):
    clock = ManualClock()
    guard = UpstreamGuard(breaker=CircuitBreakerConfig(recovery_timeout=5), clock=clock)
    exchange = await guard.admit(Target("GET", library, "/"))
    exchange.answered(503, {"retry-after": "60"})
    exchange.ended()
    breaker = guard.breakers[library]
    with pytest.raises(CircuitOpenError):
        await guard.admit(Target("GET", library, "/"))
    clock.advance(61)
    for _ in range(2):
        exchange = await guard.admit(Target("GET", library, "/"))
        exchange.answered(200, {})
        exchange.ended()
    assert breaker.state is State.CLOSED
