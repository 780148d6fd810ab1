"""The life of the example server: tokens over HTTP, live events, draining and its end."""

import asyncio
import json
import signal

import aiohttp
import pytest

from auth import hash_password
from support.example import call, example_server

USERS = json.dumps({"ann": hash_password("right")})
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def server():
    with example_server(users=USERS) as program:
        yield program


def test_a_password_gets_a_token_and_the_token_gets_in(server):
    answer = server.post("/api/auth/token", b"username=ann&password=right", FORM)
    assert answer.status == 200
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert server.get("/api/auth/me", bearer).json() == {"user": "ann"}


def test_a_wrong_password_and_a_missing_or_bad_token_are_401(server):
    assert server.post("/api/auth/token", b"username=ann&password=no", FORM).status == 401
    assert server.get("/api/auth/me").status == 401
    answer = server.get("/api/auth/me", {"Authorization": "Bearer a.b.c"})
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_an_open_verifier_denies_with_503(server):
    answer = server.post("/api/auth/token", b"username=ann&password=right", FORM)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    server.post("/api/test/circuit-breaker/trigger-failure/auth")
    denied = server.get("/api/auth/me", bearer)
    server.post("/api/test/circuit-breaker/reset/auth")
    assert denied.status == 503
    assert denied.headers["Retry-After"]


async def test_watchers_hear_of_running_work_but_not_what_was_said(server):
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect("/ws") as socket:
        metrics = await (await session.get("/api/metrics")).json()
        assert metrics["metrics"]["live_events"]["sessions"] == 1
        assert metrics["metrics"]["requests"]["websockets"] == 1
        answer = await session.post("/api/nl/process", json={"text": "my secret stock price"})
        assert answer.status == 200
        events = [await socket.receive_json(timeout=60) for _ in range(2)]
    assert [event["event"] for event in events] == ["command.dispatched", "command.finished"]
    assert events[0]["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert "secret" not in json.dumps(events)


async def test_a_page_of_another_site_may_not_watch(server):
    async with aiohttp.ClientSession(server.url) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect("/ws", headers={"Origin": "https://evil.example"})
    assert caught.value.status == 403


async def test_a_draining_server_finishes_what_runs_ends_streams_and_exits_with_0():
    with example_server(drain_grace="3") as program:
        async with aiohttp.ClientSession(program.url) as session, session.ws_connect("/ws") as socket:
            await session.post("/api/test/upstream/behave", json={"mode": "slow", "factor": 160})
            running = asyncio.create_task(session.post("/api/agents/research/run", json={"input": "x"}))
            while (await (await session.get("/api/metrics")).json())["metrics"]["requests"]["active"] < 2:
                assert not running.done()
            program.process.send_signal(signal.SIGTERM)
            closed = await socket.receive(timeout=60)
            ready = await session.get("/ready")
            assert (ready.status, ready.headers["Connection"]) == (503, "close")
            assert (await ready.json())["phase"] == "draining"
            answer = await running
            assert answer.status == 200
            assert not (await answer.json())["is_fallback"]
        assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING)
        assert await asyncio.to_thread(program.process.wait, 60) == 0


def test_a_second_signal_exits_at_once():
    with example_server(drain_grace="60") as program:
        program.process.send_signal(signal.SIGTERM)
        while call("GET", f"{program.url}/ready").status != 503:
            pass
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(40) == 0  # of the minute that it would take
