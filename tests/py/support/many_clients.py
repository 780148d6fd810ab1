"""Thousands of clients on real sockets, and a server in a thread that they can all reach."""

import contextlib
import resource
import selectors
import socket
import threading
from collections import Counter

import pytest
import uvicorn

FILES = 12_000


@pytest.fixture
def many_files():
    """Room for thousands of sockets, here and in the processes that a test starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"a process may open {hard} files here, and this takes {FILES} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def serving(app, **settings):
    """Serve an application in a thread; yields its port."""
    config = uvicorn.Config(app, port=0, log_level="critical", **settings)
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(FILES)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@contextlib.contextmanager
def clients(port, count, request=b""):
    """Connect that many sockets, and send a request on each at once."""
    with contextlib.ExitStack() as stack:
        connected = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            client.sendall(request)
            connected.append(client)
        yield connected


def head_of(client):
    """Read the head of an answer: its status and its headers as they are; 0 when there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = client.recv(4096)
        if not chunk:
            return 0, b""
        received += chunk
    head = received.partition(b"\r\n\r\n")[0]
    return int(head.split(b" ", 2)[1]), head.lower()


def answers(connected):
    """Read what each is answered; returns how many got each status, and who got 200 or 101."""
    heads = [head_of(client) for client in connected]
    assert all(b"\r\nretry-after: " in head for status, head in heads if status == 503)
    served = [client for client, (status, _) in zip(connected, heads, strict=True) if status in {101, 200}]
    return Counter(status for status, _ in heads), served


def first_statuses(connected, count):
    """Return how many got each status among the first `count` that are answered."""
    statuses = Counter()
    with selectors.DefaultSelector() as selector:
        for client in connected:
            selector.register(client, selectors.EVENT_READ)
        while statuses.total() < count:
            for key, _ in selector.select(60):
                selector.unregister(key.fileobj)
                statuses[head_of(key.fileobj)[0]] += 1
    return statuses


def has_ended(client):
    """Tell whether the server has closed a connection, all that it sent aside."""
    client.settimeout(0)
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True
