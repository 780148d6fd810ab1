"""A server of the providers' own protocols, in a process of its own: `@copilotkit/aimock` from npm.

What it answers is said by the prompt: each fault is a fixture. Its journal says what really arrived.
"""

import http.client
import json
import subprocess
import time
from pathlib import Path

import pytest

from support.node import node_environment, npm
from support.one_at_a_time import one_at_a_time
from support.ports import ReservedPort

VERSION = "1.43.0"
_FOLDER = Path(__file__).parents[3] / ".cache" / f"aimock-{VERSION}"
_CLI = _FOLDER / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
}
_ANSWER = "Bonjour, this is the answer that every provider gives."
_FIXTURES = [
    {
        "match": {"userMessage": "please answer"},
        "response": {"content": _ANSWER, "usage": _USAGE},
        "chunkSize": 10,
    },
    {
        "match": {"userMessage": "break off"},
        "response": {"content": _ANSWER},
        "chunkSize": 5,
        "truncateAfterChunks": 4,
        "latency": 5,  # or nothing would leave the server before it breaks off
    },
    {
        "match": {"userMessage": "too many"},
        "response": {
            "error": {"message": "slow down", "type": "rate_limit_error"},
            "status": 429,
            "retryAfter": 17,
        },
    },
    {
        "match": {"userMessage": "fall over"},
        "response": {"error": {"message": "overloaded", "type": "server_error"}, "status": 503},
    },
    {
        "match": {"userMessage": "refuse the key"},
        "response": {"error": {"message": "invalid key", "type": "authentication_error"}, "status": 401},
    },
    {
        "match": {"userMessage": "refuse the model"},
        "response": {"error": {"message": "no such model", "type": "not_found_error"}, "status": 404},
    },
    {
        "match": {"userMessage": "refuse the request"},
        "response": {
            "error": {"message": "messages are wrong", "type": "invalid_request_error"},
            "status": 400,
        },
    },
    {"match": {"inputText": "embed me"}, "response": {"embedding": [0.25, -0.5, 1.0]}},
]


@one_at_a_time
def install():
    """The path of its command, installing it once; skips the test where that can't be done."""
    if node_environment() is None:
        pytest.skip("node and npm are not installed (apt-get install nodejs npm)")
    if not _CLI.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        done = npm(
            "install", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), f"@copilotkit/aimock@{VERSION}"
        )
        if done.returncode != 0 or not _CLI.exists():
            pytest.skip(f"npm could not install @copilotkit/aimock: {done.stderr.strip()[-200:]}")
    return _CLI


class Aimock:
    """One server process with its fixtures."""

    answer = _ANSWER

    def __init__(self, folder):
        fixtures = Path(folder) / "fixtures.json"
        fixtures.write_text(json.dumps({"fixtures": _FIXTURES}))
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.url = f"http://127.0.0.1:{self.port}"
        command = ["node", str(install()), "-p", str(self.port), "-h", "127.0.0.1", "-f", str(fixtures)]
        self._log = (Path(folder) / "aimock.log").open("w")
        self._process = subprocess.Popen(
            command, env=node_environment(), stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("aimock did not start")

    def journal(self):
        """The requests that have arrived: path, status and body of each."""
        return json.loads(self._ask("GET", "/__aimock/journal?limit=1000"))

    def forget(self):
        """Empty the journal."""
        self._control("reset/journal", {})

    def fail_next(self, status=503):
        """Refuse the next request, whatever it asks."""
        self._control("error", {"status": status, "body": {"message": "overloaded", "type": "server_error"}})

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reserved.close()
        self._log.close()

    def _control(self, what, body):
        self._ask("POST", f"/__aimock/{what}", json.dumps(body))

    def _answers(self):
        try:
            self._ask("GET", "/health")
        except OSError:
            return False
        return True

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            return said
        finally:
            connection.close()


@pytest.fixture(scope="session")
def aimock_server(tmp_path_factory):
    """One server for all tests."""
    server = Aimock(tmp_path_factory.mktemp("aimock"))
    yield server
    server.close()


@pytest.fixture
def aimock(aimock_server):
    """The server, with an empty journal."""
    aimock_server.forget()
    return aimock_server
