"""Toxiproxy, the fault proxy that others test with, installed by Go into the project's own cache."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from support.one_at_a_time import one_at_a_time
from support.ports import ReservedPort

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
FOLDER = Path(__file__).parents[3] / ".cache" / "go" / "bin"
_INSTALL_SECONDS = 280


@one_at_a_time
def installed():
    """The program; skips where there is no Go that can build it."""
    program = FOLDER / "server"
    if program.exists():
        return program
    if shutil.which("go") is None:
        pytest.skip("toxiproxy needs Go, which isn't installed; the project's own fault proxy stands in")
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOBIN": str(FOLDER), "GOTOOLCHAIN": "local"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["go", "install", MODULE],
            env=environment,
            check=False,
            capture_output=True,
            timeout=_INSTALL_SECONDS,
        )
    if not program.exists():
        pytest.skip("this Go could not build toxiproxy (too old, or offline); the own fault proxy stands in")
    return program


class Toxiproxy:
    """A running server; `between` puts a proxy before a port, `add` and `clear` change what it does."""

    def __init__(self, program):
        self._reserved = ReservedPort()
        port = self._reserved.number
        self._url = f"http://127.0.0.1:{port}"
        command = [str(program), "-host", "127.0.0.1", "-port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)  # noqa: S310 - this machine
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            return json.loads(response.read() or b"null")

    def between(self, name, port):
        """The port on which a new proxy to `port` listens."""
        wanted = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}", "enabled": True}
        return int(self._call("POST", "/proxies", wanted)["listen"].rpartition(":")[2])

    def add(self, name, kind, **attributes):
        """Poison what the upstream of a proxy answers."""
        toxic = {"name": kind, "type": kind, "stream": "downstream", "attributes": attributes}
        self._call("POST", f"/proxies/{name}/toxics", toxic)

    def clear(self):
        """Take every toxic away, and let every proxy listen."""
        self._call("POST", "/reset")

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reserved.close()


@pytest.fixture(scope="module")
def toxiproxy():
    """One server for the tests of a module."""
    server = Toxiproxy(installed())
    yield server
    server.close()
