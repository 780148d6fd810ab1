"""A redis-server of the tests' own, on a free port, that can be killed, frozen and restarted."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from support.ports import ReservedPort


class RedisServer:
    """One server process; it keeps its port over a restart, and nothing on disk.

    With `primary`, another server, it is that one's replica until it is promoted.
    """

    def __init__(self, primary=None):
        self.primary = primary
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = tempfile.mkdtemp(prefix="resilience-redis-")
        self.process = None
        self.start()

    def start(self):
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        options["repl-diskless-sync-delay"] = 0
        if self.primary is not None:
            options["replicaof"] = f"127.0.0.1 {self.primary.port}"
        command = [
            "redis-server",
            *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not self.is_ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("redis-server did not start")

    def is_ready(self):
        if self.primary is None:
            return self.ask("PING").startswith(b"+PONG")
        return b"master_link_status:up" in self.ask("INFO replication")

    def ask(self, command):
        """Send one command on a connection of its own; returns what comes first, nothing when it is away."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as connection,
        ):
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65_536)
        return b""

    def promote(self):
        """End being a replica."""
        self.primary = None
        assert self.ask("REPLICAOF NO ONE").startswith(b"+OK")

    def follow(self, primary):
        """Become a replica, which refuses writes."""
        self.primary = primary
        assert self.ask(f"REPLICAOF 127.0.0.1 {primary.port}").startswith(b"+OK")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            self.thaw()
            self.kill()
        self._reserved.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def redis_server():
    """A server of one test's own."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_replica(redis_server):
    """A replica of that server."""
    server = RedisServer(redis_server)
    yield server
    server.close()
