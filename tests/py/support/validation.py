"""Runs the example's own validation against a live server, as its user does, and reads what it printed."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass

from support.example import EXAMPLE, Program

SHORT = ("--seconds", "0.5", "--recovery", "0.5")

_SCORE = re.compile(r"^architecture score: (\d+)$", re.MULTILINE)
_LOST = re.compile(r"^\d+/\d+ for (\w+): (.*)$", re.MULTILINE)
_FAILED = re.compile(r"^failed: (.*?): (.*)$", re.MULTILINE)
_REFUSED = re.compile(r"refused_for_overload [1-9]")
_TIMED = {"response_times", "connection_pooling", "request_batching", "every dependency is up"}
_LOADED = {"success_rate", "users of the load are answered"}


@dataclass(frozen=True)
class Verdict:
    """How a validation ended: the points that were lost and the checks that failed, each with its printed reason."""

    status: int
    score: int
    lost: dict[str, str]
    failed: dict[str, str]
    printed: str

    @property
    def is_consistent(self) -> bool:
        """Whether the exit status says what the rest says."""
        return (self.status == 0) == (self.score == 100 and not self.failed)

    @property
    def wrong(self) -> set[str]:
        """What was lost or failed, less what a machine that is too busy for its own clock may cost."""
        refused = _REFUSED.search(self.lost.get("success_rate", ""))
        return {*self.lost, *self.failed} - _TIMED - (_LOADED if refused else set())


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    command = [sys.executable, str(EXAMPLE / "validate_100_score.py"), "--url", url, *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def validate(program: Program, *words: str) -> Verdict:
    """Validate a server; options are the script's."""
    done = run(program.url, *words)
    score = _SCORE.search(done.stdout)
    assert score is not None, done.stdout + done.stderr
    return Verdict(
        status=done.returncode,
        score=int(score.group(1)),
        lost=dict(_LOST.findall(done.stdout)),
        failed=dict(_FAILED.findall(done.stdout)),
        printed=done.stdout + done.stderr,
    )


def await_dependency(program: Program, name: str, status: str) -> None:
    """Ask until the background check has found out."""
    end = time.monotonic() + 60
    while program.get("/health").json()["dependencies"][name]["status"] != status:
        assert time.monotonic() < end, f"{name} is not {status}"


def await_breaker(program: Program, name: str, state: str) -> None:
    """Ask until a breaker is in this state."""
    end = time.monotonic() + 60
    while program.get("/api/test/circuit-breaker/status").json()[name]["state"] != state:
        assert time.monotonic() < end, f"{name} is not {state}"


def mend(program: Program) -> None:
    """Undo what was done to the upstream and to the breakers."""
    program.post("/api/test/upstream/start")
    program.post("/api/test/upstream/behave", {})
    await_dependency(program, "language_model", "up")
    for name in program.get("/api/test/circuit-breaker/status").json():
        program.post(f"/api/test/circuit-breaker/reset/{name}")
