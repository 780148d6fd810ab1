"""The example server as an outsider attacks it, over plain sockets: what a client library would not send."""

import base64
import gzip
import json
import re
import socket

import pytest
from fastapi import FastAPI

import bounded_protocols
from support.example import example_server
from support.many_clients import clients, head_of, serving

LIMIT = 10 * 1024 * 1024
CLOSE = "Host: 127.0.0.1\r\nConnection: close\r\n"
TRIGGER = "/api/test/circuit-breaker/trigger-failure/test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with example_server(workspace=str(tmp_path_factory.mktemp("space"))) as program:
        yield program


def sent(server, *parts):
    """Send bytes on a connection of its own; returns status, head and body of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        received = b""
        try:
            for part in parts:
                client.sendall(part)
            while chunk := client.recv(65_536):
                received += chunk
        except ConnectionError:  # what was sent in vain is answered with a reset, after the answer
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return (int(head.split(b" ", 2)[1]) if head else 0), head.decode("latin-1").lower(), body


def request(method, target, headers="", body=b""):
    announced = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\n{CLOSE}{announced}{headers}\r\n".encode("latin-1") + body


def as_json(text):
    return request("POST", "/api/agents/research/run", "Content-Type: application/json\r\n", text)


def is_well(server):
    return server.get("/healthz").json() == {"status": "ok"}


# ---- heads and frames of requests ----

UNREADABLE = {
    "length and chunks": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a list of lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
    "a negative length": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    "an endless length": f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {'9' * 30}\r\n\r\n",
    "unknown transfer coding": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n{}",
    "bare line feeds": "GET /healthz HTTP/1.1\nHost: x\n\n",
    "a folded header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
    "NUL in a header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Correlation-ID: a\x00b\r\n\r\n",
    "a space before the colon": "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
    "CONNECT": "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
    "no HTTP": "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_two_servers_could_read_in_two_ways_is_refused(server, kind):
    status, head, _ = sent(server, UNREADABLE[kind].encode("latin-1"))
    assert status == 400
    assert "connection: close" in head


ENDLESS = {
    "one header": ("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ", "x" * 65_536),
    "many headers": ("GET /healthz HTTP/1.1\r\nHost: x\r\n", "X-A: y\r\n" * 8_192),
    "an address": ("GET /", "a" * 65_536),
    "a trailer": ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", "x" * 65_536),
    "chunk extensions": ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x" * 65_536),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_head_or_trailer_is_cut_off(server, kind):
    begin, more = (text.encode() for text in ENDLESS[kind])
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(begin)
        with pytest.raises(ConnectionError):
            for _ in range(1_000):
                client.sendall(more)
    assert is_well(server)


def test_a_head_within_the_bound_is_served_and_one_beyond_it_is_431(server):
    room = bounded_protocols.MAX_HEAD - 200
    assert sent(server, request("GET", "/healthz", f"X-A: {'x' * room}\r\n"))[0] == 200
    begun = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: {'x' * (room + 400)}".encode()
    assert sent(server, begun)[0] == 431


def test_a_head_that_does_not_end_in_time_is_408(monkeypatch):
    monkeypatch.setattr(bounded_protocols.BoundedHttp, "head_timeout", 0.01)
    with serving(FastAPI(), **bounded_protocols.bounds()) as port, clients(port, 1) as [silent]:
        assert silent.recv(4096) == b"", "who asks nothing is told nothing"
    monkeypatch.setattr(bounded_protocols.BoundedHttp, "head_timeout", 60.0)
    with serving(FastAPI(), **bounded_protocols.bounds()) as port, clients(port, 1) as [used]:
        used.sendall(request("GET", "/").replace(b"Connection: close\r\n", b""))
        assert head_of(used)[0] == 404
        monkeypatch.setattr(bounded_protocols.BoundedHttp, "head_timeout", 0.01)
        used.sendall(b"GET / HTTP/1.1\r\n")
        received = b"".join(iter(lambda: used.recv(4096), b""))
        assert b"HTTP/1.1 408 " in received


# ---- bodies ----

ODD_BODIES = {
    "deep lists": b"[" * 500_000,
    "deep objects": b'{"input":' * 50_000,
    "a huge number": b'{"input": ' + b"9" * 500_000 + b"}",
    "not a number": b'{"input": NaN}',
    "half a character": b'{"input": "\\ud800"}',
    "no utf-8": b'{"input": "\xff"}',
    "twice the same key": b'{"input": 1, "input": 2}',
    "a million keys": b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
}


@pytest.mark.parametrize("kind", ODD_BODIES)
def test_an_odd_body_is_the_clients_mistake(server, kind):
    before = server.get("/circuit-breakers/health").json()["circuit_breakers"]
    for _ in range(4):
        status, _, body = sent(server, as_json(ODD_BODIES[kind]))
        assert status in {400, 413, 422}
        assert b"Traceback" not in body
        assert b"File" not in body
    after = server.get("/circuit-breakers/health").json()["circuit_breakers"]
    assert {name: one["state"] for name, one in after.items()} == {
        name: one["state"] for name, one in before.items()
    }, "and opens no breaker"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_chunked_file_over_ten_megabytes_is_413_before_it_is_read_to_its_end(server, packed):
    content = gzip.compress(b"\0" * (LIMIT + 1)) if packed else b"x" * 65_536
    encoding = "Content-Encoding: gzip\r\n" if packed else ""
    head = f"PUT /api/files/chunked HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n{encoding}\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(content), content)
    status, _, body = sent(server, head.encode(), *[chunk] * (1 if packed else 400))  # 25 MB, and no end
    assert status in {0, 413}, "cut off, perhaps before the answer could be read"
    assert not body or json.loads(body)["status"] == 413
    assert server.get("/api/files/chunked").status == 404
    assert is_well(server)


def test_a_megabyte_of_token_is_refused_and_opens_no_breaker(server):
    for size in (5_000, 1_000_000):
        status, _, _ = sent(server, request("GET", "/api/auth/me", f"Authorization: Bearer {'x' * size}\r\n"))
        assert status in {401, 431}
    assert server.get("/circuit-breakers/health").json()["circuit_breakers"]["auth"]["state"] == "closed"


def test_wrong_passwords_open_no_breaker(server):
    form = b"username=ann&password=wrong"
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    for _ in range(5):
        assert sent(server, request("POST", "/api/auth/token", kind, form))[0] == 401
    auth = server.get("/circuit-breakers/health").json()["circuit_breakers"]["auth"]
    assert (auth["state"], auth["failure_count"]) == ("closed", 0)


# ---- paths, methods and where a request comes from ----


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/..",
        "/api/agents/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/healthz%0d%0aSet-Cookie:%20x=1",
        "/..;/",
    ],
)
def test_an_odd_path_leads_nowhere(server, target):
    status, head, body = sent(server, request("GET", target).replace(b"127.0.0.1", b"evil.example"))
    assert status == 404
    assert "location" not in head
    assert "set-cookie" not in head
    assert b"evil" not in body
    assert b"passwd" not in body


def test_get_changes_nothing_whatever_it_says_of_its_method(server):
    claims = "X-HTTP-Method-Override: POST\r\nX-HTTP-Method: POST\r\nX-Method-Override: POST\r\n"
    for path in (TRIGGER, "/api/test/circuit-breaker/reset/ollama", "/api/test/upstream/kill"):
        for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
            assert sent(server, request(method, f"{path}?_method=POST", claims))[0] == 405
    paths = server.get("/openapi.json").json()["paths"]
    before = server.get("/api/test/circuit-breaker/status").json()
    for path, operations in paths.items():
        if "get" in operations and "{" not in path:
            server.get(path)
    after = server.get("/api/test/circuit-breaker/status").json()
    assert {name: one["state"] for name, one in after.items()} == {
        name: one["state"] for name, one in before.items()
    }


FOREIGN = {
    "another site": "Origin: https://evil.example\r\n",
    "no site": "Origin: null\r\n",
    "rubbish": "Origin: http://[\r\n",
    "an empty one": "Origin:\r\n",
    "another port": "Origin: http://127.0.0.1:1\r\n",
    "our name in front": "Origin: http://127.0.0.1.evil.example\r\n",
    "our name as its user": "Origin: http://127.0.0.1@evil.example\r\n",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_page_of_another_site_can_neither_act_nor_watch(server, kind):
    assert sent(server, request("POST", TRIGGER, FOREIGN[kind]))[0] == 403
    key = base64.b64encode(b"x" * 16).decode()
    upgrade = f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    handshake = f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n{upgrade}{FOREIGN[kind]}\r\n"
    assert sent(server, handshake.encode())[0] == 403


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"]
)
def test_whoever_comes_through_a_proxy_is_not_this_machines_user(server, name):
    for value in ("127.0.0.1", "for=127.0.0.1", ""):
        assert sent(server, request("POST", TRIGGER, f"{name}: {value}\r\n"))[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "[", "127.0.0.1@evil.example", "", "0x7f.1"]
)
def test_a_host_that_is_no_loopback_name_is_not_this_machines_user(server, host):
    told = request("POST", TRIGGER).replace(b"Host: 127.0.0.1", f"Host: {host}".encode())
    assert sent(server, told)[0] == 401


# ---- what is answered ----


@pytest.mark.parametrize("given", ["a b", "x" * 129, "x" * 20_000, "é", "<b>", "a;b", 'a"b', ""])
def test_a_harmful_correlation_id_is_replaced(server, given):
    _, head, _ = sent(server, request("GET", "/healthz", f"X-Correlation-ID: {given}\r\n"))
    (found,) = re.findall(r"x-correlation-id: (.*)", head)
    assert re.fullmatch(r"[0-9a-f]{32}", found.strip())


def test_no_answer_names_the_software_a_host_or_a_path(server):
    asked = [
        request("GET", path) for path in ("/health", "/healthz", "/ready", "/nothing", "/api/files/none")
    ]
    asked += [as_json(b"{"), request("GET", "/healthz", f"X-A: {'x' * 40_000}\r\n")]
    for one in asked:
        _, head, body = sent(server, one)
        assert "server:" not in head
        assert "x-powered-by" not in head
        assert not re.search(
            rb"Traceback|/home|/root|/usr|\.py|127\.0\.0\.1|localhost|[0-9]+\.[0-9]+\.[0-9]+", body
        )


def test_components_that_nobody_knows_leave_no_series(server):
    def told():
        names = set(server.get("/api/test/circuit-breaker/status").json())
        return names, {line.partition(" ")[0] for line in server.get("/metrics").body.decode().splitlines()}

    base = TRIGGER.rpartition("/")[0]
    server.post(f"{base}/first")
    told()  # its own requests are series too
    before = told()
    for number in range(100):
        assert server.post(f"{base}/<b>{number}%22%0A?failure_count=1").status == 200
    assert told() == before


def test_frames_that_no_watcher_sends_end_at_most_its_own_connection(server):
    key = base64.b64encode(b"x" * 16).decode()
    handshake = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    ).encode()
    mask = b"\0\0\0\0"
    frames = {
        "binary": b"\x82\x82" + mask + b"\xff\0",
        "no utf-8": b"\x81\x82" + mask + b"\xff\xff",
        "unmasked": b"\x81\x01x",
        "fifteen megabytes": b"\x81\xff" + (15_000_000).to_bytes(8, "big") + mask,
        "an unknown kind": b"\x83\x80" + mask,
        "reserved bits": b"\xf1\x80" + mask,
    }
    for kind, frame in frames.items():
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(handshake)
            status, head = head_of(client)
            assert status == 101
            assert b"deflate" not in head
            client.sendall(frame)
            if kind == "binary":
                client.sendall(b"\x89\x80" + mask)
                assert client.recv(2) == b"\x8a\x00", "it is ignored, and the next ping answered"
            else:
                assert client.recv(2)[:1] == b"\x88", kind
    assert is_well(server)
