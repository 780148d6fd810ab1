"""Bodies of external APIs: their bound, their packing, and how they come."""

# ruff: noqa: F811 - a test asks for a fixture by its name

import asyncio
import gzip
import ssl
import tracemalloc

import pytest
import trustme

from resilience.connections.httpx_transport import PooledTransport
from resilience.external import (
    AnswerTooLargeError,
    ApiUnreachableError,
    ExternalApiError,
    MalformedAnswerError,
)
from support.api_server import Reply, api_server
from support.sample_api import make, server  # noqa: F401 - fixtures
from support.storm import REQUESTS, CancelStorm
from support.until import until


async def test_a_body_is_read_no_further_than_its_bound(make, server):
    api = make({"max_body_bytes": 1000})
    server.says(b'"' + b"a" * 998 + b'"')
    assert len((await api.request("read", id="x")).value) == 998
    server.says(b'"' + b"a" * 999 + b'"')
    with pytest.raises(AnswerTooLargeError, match="sample: the answer is larger than 1000 bytes"):
        await api.request("live")
    server.says(b"a" * 10_000, status=404)
    with pytest.raises(ExternalApiError):
        await api.request("live")


@pytest.mark.parametrize("nested", [1, 2])
async def test_a_compressed_bomb_stays_small(make, server, nested):
    api = make({"max_body_bytes": 100_000})
    bomb = gzip.compress(b"0" * 200_000_000, 9)
    if nested == 2:
        bomb = gzip.compress(bomb)
    server.reply = Reply(bomb, headers={"Content-Encoding": "gzip"})
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises((AnswerTooLargeError, MalformedAnswerError)):
            await api.request("live")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip at all"),
        ("gzip", gzip.compress(b"[1, 2]")[:-9]),
        ("gzip, gzip", gzip.compress(gzip.compress(b"[1, 2]"))),
        ("br", b"[1, 2]"),
        ("\x7f", b"[1, 2]"),
    ],
)
async def test_a_body_packed_otherwise_than_asked_for_is_malformed(make, server, encoding, body):
    api = make()
    server.reply = Reply(body, headers={"Content-Encoding": encoding})
    with pytest.raises((MalformedAnswerError, ApiUnreachableError), match=r"sample: (the|no)"):
        await api.request("live")
    assert api.breaker.failure_count == 1


async def test_a_packed_body_is_unpacked_and_its_connection_used_again(make, server):
    transport = PooledTransport()
    api = make(transport=transport)
    server.reply = Reply(gzip.compress(b"[1, 2]") + b"rest", headers={"Content-Encoding": "gzip"})
    for _ in range(3):
        assert (await api.request("live")).value == [1, 2]
    assert transport.network.opened == 1


async def test_requests_cancelled_at_random_points_lose_no_place_and_no_connection(make, server):
    transport = PooledTransport()
    api = make({"concurrency": 10, "cache": {"ttl": "0s"}}, transport=transport)
    server.answer = lambda asked: Reply(
        gzip.compress(asked.path.encode()), headers={"Content-Encoding": "gzip"}
    )

    async def request(number):
        assert (await api.request("path", id=number)).value == f"/path/{number}"

    storm = CancelStorm(request, seed=11)
    await storm.run()
    assert min(storm.finished, storm.cancelled) > REQUESTS / 20
    assert api.breaker.failure_count == 0
    server.answer, asked = None, len(server.asked)
    server.reply = Reply(b"x", held=True)
    held = [asyncio.create_task(api.request("path", id=f"held-{number}")) for number in range(10)]
    await until(lambda: len(server.asked) == asked + 10)
    server.release.set()
    assert {(await each).value for each in held} == {"x"}
    assert transport.network.connections <= 10


async def test_tls_is_verified(make, clock):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with api_server(context) as server:
        api = make(base_url=server.url)
        with pytest.raises(ApiUnreachableError):
            await api.request("live")
        api = make(base_url=server.url, transport=PooledTransport(verify=trusting))
        assert (await api.request("live")).value == {}


async def test_a_body_is_parsed_beside_the_loop_when_it_is_long(make, server):
    api = make()
    server.says(b"[" + b"1," * 100_000 + b"1]")
    assert len((await api.request("live")).value) == 100_001
