"""Runs the example server, or its local upstream, as a process and speaks to it over real sockets."""

import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

EXAMPLE = Path(__file__).parents[3] / "examples" / "fastapi_app"
PYTHON_PATH = Path(__file__).parents[3] / "python"
_OWN = ("RESILIENCE_", "DATABASE_URL")
# Nobody gives up on what a busy machine is slow at, unless a test says so.
_PATIENT = {
    "RESILIENCE_UPSTREAM_TIMEOUT": "120",
    "RESILIENCE_CONNECT_TIMEOUT": "60",
    "RESILIENCE_REDIS_TIMEOUT": "60",
    "RESILIENCE_MAX_LAG": "60",
    "RESILIENCE_DRAIN_TIMEOUT": "120",
}
_ENDING = 180.0  # seconds, beyond every limit of the server's own
_LISTENING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    method: str, url: str, body: object = None, headers: dict[str, str] | None = None, timeout: float = 30.0
) -> Answer:
    """Send one request; an error status is an answer like any other."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - http to this machine
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310 - as above
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Program:
    """A started server; `get` and `post` take paths."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return call("GET", self.url + path, headers=headers)

    def post(self, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        return call("POST", self.url + path, body, headers)


@contextlib.contextmanager
def example_server(
    *, database_url: str | None = None, log: IO[str] | None = None, **settings: str
) -> Iterator[Program]:
    """Run the example server on a free port; settings are environment variables without their prefix.

    Its database is a file in a folder of its own, unless another is given. What it writes is added to `log`.
    """
    with example_process(database_url=database_url, log=log, **settings) as process:
        port, reading = _await_port(process, log)
        try:
            yield Program(process, port)
        finally:
            _end(process)
            reading.join()  # or the pipe would be closed under it


@contextlib.contextmanager
def example_process(
    *, database_url: str | None = None, log: IO[str] | None = None, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """Start the example server as above in a process group of its own, without waiting for it to serve."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    environment |= _PATIENT | {"RESILIENCE_PORT": "0", "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(PYTHON_PATH), os.environ.get("PYTHONPATH")])
    )
    environment |= {f"RESILIENCE_{name.upper()}": value for name, value in settings.items()}
    if database_url is not None:
        environment["DATABASE_URL"] = database_url
    command = [sys.executable, str(EXAMPLE / "unified_server.py")]
    with (
        tempfile.TemporaryDirectory(prefix="resilience-example-") as folder,
        subprocess.Popen(
            command,
            env={"RESILIENCE_DATA_FOLDER": folder} | environment,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Tell a server to stop, unless it has ended."""
    process.terminate()
    try:
        process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _await_port(process: subprocess.Popen[str], log: IO[str] | None) -> tuple[int, threading.Thread]:
    """Return the port once a worker has started, and who reads on; with several, the port is known before that."""
    assert process.stderr is not None
    port, seen = 0, []
    for line in process.stderr:
        seen.append(line)
        if found := _LISTENING.search(line):
            port = int(found.group(1))
        if port and any("startup complete" in earlier for earlier in seen):
            reading = threading.Thread(target=_drain, args=(process.stderr, seen, log), daemon=True)
            reading.start()
            _await_listener(port)
            return port, reading
    raise AssertionError("the server ended instead of listening:\n" + "".join(seen))


def _drain(errors: IO[str], seen: list[str], log: IO[str] | None) -> None:
    """Read what a server complains of, so that it is never held up by that."""
    for line in itertools.chain(seen, errors):
        if log is not None:
            log.write(line)


def _await_listener(port: int) -> None:
    """Return once the port takes connections: a worker says that it started just before it listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
        else:
            return
