"""Programs that tests run in an interpreter of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[3] / "python"


def environment(*folders, **variables):
    """The environment of a program that imports the package, and modules of these folders."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (PACKAGE, *folders))), **variables}


def run(program, *arguments, timeout=120):
    """Run a program of its own; its output, when it ended well and silently."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-W", "ignore:This process:DeprecationWarning",
         "-c", textwrap.dedent(program), *map(str, arguments)],
        env=environment(), capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
