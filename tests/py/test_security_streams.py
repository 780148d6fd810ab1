"""Thousands of clients that watch and never leave, over real sockets: some are served, the rest told to come back."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from bounded_protocols import BoundedHttp, BoundedWebSocket, bounds
from live_events import MAX_SESSIONS
from resilience.dashboard import create_app
from resilience.fastapi import install
from support.dashboard_page import needs_page
from support.example import example_server
from support.many_clients import answers, clients, first_statuses, has_ended, head_of, many_files, serving

__all__ = ["many_files"]

CLIENTS = 5_000
MOST = 500
MANY = 1_500  # of the example, which takes a thousand
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PING = b"\x89\xfd\0\0\0\0" + b"x" * 125


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def resident_megabytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.usefixtures("many_files")
def test_five_thousand_event_streams_over_sockets_are_capped_and_the_rest_told_when_to_come_back():
    app = FastAPI()

    @app.get("/events")
    async def events():
        async def stream():
            yield "data: 1\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(stream(), media_type="text/event-stream")

    state = install(app, {"max_active": MOST})
    with serving(app, **bounds()) as port, clients(port, CLIENTS, get("/events")) as connected:
        statuses, served = answers(connected)
        assert statuses == {200: MOST, 503: CLIENTS - MOST}
        assert not any(map(has_ended, served))
        with clients(port, 1, get("/healthz")) as [one]:
            assert head_of(one)[0] == 200, "a probe is answered nevertheless"
        for client in connected:
            client.close()
        with clients(port, 1) as [one]:
            for _ in range(20_000):  # until the others have gone
                if not state.metrics.active:
                    break
                one.sendall(get("/healthz"))
                assert head_of(one)[0] == 200
            one.sendall(get("/events"))
            assert head_of(one)[0] == 200, "there is room again"
            one.close()


@pytest.mark.usefixtures("many_files")
def test_five_thousand_pollers_of_the_dashboard_are_capped():
    needs_page()

    async def figures_that_never_come():
        await asyncio.Event().wait()

    app = FastAPI()
    install(app, {"max_active": MOST})
    app.mount("/dashboard", create_app(figures_that_never_come))
    settings = bounds() | {"timeout_graceful_shutdown": 1}
    with serving(app, **settings) as port, clients(port, CLIENTS, get("/dashboard/data")) as connected:
        refused = CLIENTS - MOST
        assert first_statuses(connected, refused) == {503: refused}


@pytest.mark.usefixtures("many_files")
def test_watchers_of_the_example_are_capped_in_bounded_memory():
    with example_server() as server:
        before = resident_megabytes(server.process.pid)
        with clients(server.port, MANY, HANDSHAKE) as connected:
            statuses, served = answers(connected)
            assert statuses == {101: MAX_SESSIONS, 503: MANY - MAX_SESSIONS}
            assert not any(map(has_ended, served))
            figures = server.get("/api/metrics").json()["metrics"]
            assert figures["live_events"]["sessions"] == figures["requests"]["websockets"] == MAX_SESSIONS
            grown = resident_megabytes(server.process.pid) - before
    assert grown < 200, f"{grown:.0f} MB for {MANY} clients"


# ---- who does not read ----


class HastyHttp(BoundedHttp):
    patience = 0.01


class HastyWebSocket(BoundedWebSocket):
    patience = 0.01


@pytest.fixture
def endless():
    """An application that sends for ever, by a stream and by a WebSocket, and what became of its senders."""
    app, ended = FastAPI(), []

    @app.get("/stream")
    async def stream():
        async def pieces():
            try:
                while True:
                    yield b"x" * 65_536
                    await asyncio.sleep(0)
            finally:
                ended.append("stream")

        return StreamingResponse(pieces())

    @app.websocket("/ws")
    async def watch(websocket: WebSocket):
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("x" * 65_536)
        finally:
            ended.append("websocket")

    app.state.ended = ended
    return app


@pytest.mark.parametrize(
    ("request_", "kind"), [(get("/stream"), "stream"), (HANDSHAKE, "websocket")], ids=["stream", "websocket"]
)
def test_a_reader_that_does_not_read_is_cut_off(endless, request_, kind):
    hasty = {"http": HastyHttp, "ws": HastyWebSocket}
    with serving(endless, **bounds() | hasty) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.sendall(request_)
        for _ in range(20_000):
            if kind in endless.state.ended:
                break
            with clients(port, 1, get("/openapi.json")) as [other]:
                assert head_of(other)[0] == 200, "others are served meanwhile"
        with contextlib.suppress(ConnectionError):
            while client.recv(65_536):
                pass
    assert endless.state.ended == [kind]


def test_pings_of_a_client_that_does_not_read_are_not_answered_into_memory(endless):
    with serving(endless, **bounds() | {"ws": HastyWebSocket}) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.sendall(HANDSHAKE)
        with pytest.raises(ConnectionError):
            for _ in range(1_000_000):
                client.sendall(PING * 100)
