"""Bytes that are no answer, over real sockets: clear errors and bounded memory, whichever library reads them."""

import gzip
import json
import tracemalloc
import zlib

import pytest

from resilience import AllProvidersFailedError, State
from resilience.providers import (
    AnswerTooLargeError,
    LLMRouter,
    MalformedAnswerError,
    Provider,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    StreamInterruptedError,
)
from support.raw_server import raw_server
from test_llm_malformed import REPLIES

_KINDS = {
    "openai": ("openai", "chat"),
    "anthropic": ("anthropic", "messages"),
    "google": ("google.genai", "gemini"),
    "groq": ("groq", "chat"),
    "azure": ("openai", "chat"),
    "huggingface": ("huggingface_hub", "chat"),
    "ollama": ("ollama", "ollama"),
}
WAYS = [(kind, via) for kind in _KINDS for via in ("sdk", "http")]
every_way = pytest.mark.parametrize(("kind", "via"), WAYS, ids=["-".join(way) for way in WAYS])
_LIMIT = 200_000


def router_of(server, kind, via, **settings):
    if via == "sdk":
        pytest.importorskip(_KINDS[kind][0], reason=f"the official library of {kind} is not installed")
    return LLMRouter(
        [
            Provider(
                kind=kind,
                model="m",
                api_key="key-of-the-test",
                base_url=server.url,
                via=via,
                max_response_bytes=_LIMIT,
                **settings,
            )
        ]
    )


async def error_of(router):
    with pytest.raises(AllProvidersFailedError) as caught:
        await router.complete("hello")
    [(_, error)] = caught.value.attempts
    next(iter(router.breakers.values())).reset()
    return error


def broken_bodies(valid):
    """Bodies that are no JSON, or JSON of nothing."""
    whole = json.dumps(valid).encode()
    yield from (whole[:cut] for cut in range(0, len(whole) - 1, max(1, len(whole) // 12)))
    yield from (
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"{}",
        b"true",
        b"NaN",
        b"<html>busy</html>",
        b"\xff\xfe\x00",
        b"\0",
    )
    yield from (b"[" * 100_000, b'{"a":' * 50_000, whole + b"}", b"\xef\xbb\xbf" + whole[:-1], whole[::-1])
    yield whole.replace(b'"hi"', b'"\xff\xff"')[:-1]


@every_way
async def test_broken_bodies_are_failures_of_the_provider_with_clear_errors(kind, via):
    valid = REPLIES[_KINDS[kind][1]]
    async with raw_server() as server, router_of(server, kind, via) as router:
        server.answer(json.dumps(valid).encode())
        assert (await router.complete("hello")).text == "hi"
        bodies = list(broken_bodies(valid))
        for body in bodies:
            server.answer(body)
            error = await error_of(router)
            assert isinstance(error, MalformedAnswerError), (body[:40], error)
            assert str(error).startswith(f"{kind}: the answer")
        assert server.requests == len(bodies) + 1
        server.answer(b"null")
        for _ in range(3):
            with pytest.raises(AllProvidersFailedError):
                await router.complete("hello")
        assert router.breakers[kind].state == State.OPEN


@every_way
async def test_broken_transfers_are_connection_errors(kind, via):
    broken = [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    ]
    async with raw_server() as server, router_of(server, kind, via) as router:
        for raw in broken:
            server.answer_bytes(raw)
            error = await error_of(router)
            assert isinstance(error, ProviderConnectionError | MalformedAnswerError), (raw, error)


def endless(piece):
    """More than anybody should read: 64 MiB."""
    return (piece for _ in range(64 * 2**20 // len(piece)))


def bomb():
    """64 MiB in 64 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    assert len(packed) < 2**17
    return packed


@every_way
@pytest.mark.parametrize("how", ["endless", "announced", "bomb", "bomb of a refusal", "endless refusal"])
async def test_oversize_bodies_are_cut_off_in_bounded_memory(kind, via, how):
    chunked = {"transfer-encoding": None}
    async with raw_server() as server, router_of(server, kind, via) as router:
        server.answer(b"null")
        await error_of(router)  # loads what is loaded on first use
        if how == "endless":
            server.answer(endless(b" " * 65_536), headers=chunked)
        elif how == "announced":
            server.answer(b"", headers={"content-length": "99999999999"})
        elif how == "bomb":
            server.answer(bomb(), headers={"content-encoding": "gzip"})
        elif how == "bomb of a refusal":
            server.answer(bomb(), status=500, headers={"content-encoding": "gzip"})
        else:
            server.answer(endless(b"x" * 65_536), status=500, headers=chunked)
        tracemalloc.start()
        try:
            error = await error_of(router)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(error, ProviderStatusError if "refusal" in how else AnswerTooLargeError)
    assert len(str(error)) < 700
    assert peak < 8 * 2**20
    assert server.sent < 16 * 2**20


@every_way
async def test_compressed_answers_are_read(kind, via):
    body = json.dumps(REPLIES[_KINDS[kind][1]]).encode()
    async with raw_server() as server, router_of(server, kind, via) as router:
        for packed, encoding in ((gzip.compress(body), "gzip"), (zlib.compress(body), "deflate")):
            server.answer(packed, headers={"content-encoding": encoding})
            assert (await router.complete("hello")).text == "hi"
        for wrong, encoding in (
            (body, "gzip"),
            (gzip.compress(body)[:-20], "gzip"),
            (body, "br"),
            (body, "x" * 500),
        ):
            server.answer(wrong, headers={"content-encoding": encoding})
            error = await error_of(router)
            assert isinstance(error, MalformedAnswerError)
            assert len(str(error)) < 200


@every_way
async def test_redirects_are_not_followed(kind, via):
    async with raw_server() as server, router_of(server, kind, via) as router:
        server.answer(b"", status=307, headers={"location": f"{server.url}/elsewhere"})
        error = await error_of(router)
        assert isinstance(error, ProviderStatusError)
        assert "redirects" in str(error)
    assert server.requests == 1


@every_way
async def test_the_key_is_blotted_out_of_what_a_provider_says(kind, via):
    async with raw_server() as server, router_of(server, kind, via) as router:
        server.answer(b'{"error": {"message": "key-of-the-test is not a key"}}', status=500)
        error = await error_of(router)
    assert "key-of-the-test" not in str(error)
    assert "[key] is not a key" in str(error)


@every_way
async def test_an_endless_stream_is_cut_off_in_bounded_memory(kind, via):
    async with raw_server() as server, router_of(server, kind, via, idle_timeout=60.0) as router:
        server.answer(endless(b": nothing\n" * 6_000), headers={"content-type": "text/event-stream"})
        tracemalloc.start()
        try:
            with pytest.raises(AllProvidersFailedError) as caught:
                [event async for event in router.stream("hello")]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        [(_, error)] = caught.value.attempts
        assert isinstance(error, AnswerTooLargeError | MalformedAnswerError | StreamInterruptedError)
        assert isinstance(error, ProviderError)
    assert peak < 8 * 2**20
    assert server.sent < 16 * 2**20


@pytest.mark.parametrize("via", ["sdk", "http"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("google", {"embeddings": [{"values": [0.5, 1.0]}, {"values": [1.5, 2.0]}]}),
        ("ollama", {"model": "m", "embeddings": [[0.5, 1.0], [1.5, 2.0]], "prompt_eval_count": 4}),
    ],
)
async def test_embeddings_of_the_other_dialects_are_read(kind, body, via):
    async with raw_server() as server, router_of(server, kind, via) as router:
        server.answer(json.dumps(body).encode())
        found = await router.embed(["one", "two"])
        assert found.vectors == [[0.5, 1.0], [1.5, 2.0]]
        server.answer(json.dumps({**body, "embeddings": body["embeddings"][:1]}).encode())
        with pytest.raises(AllProvidersFailedError, match="1 embeddings for 2 texts"):
            await router.embed(["one", "two"])
