"""The package as a whole: what importing it does and does not do."""

import subprocess
import sys

import pytest

import resilience


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


def test_everything_that_is_exported_exists():
    missing = [name for name in resilience.__all__ if not hasattr(resilience, name)]
    assert missing == []


def test_importing_starts_no_thread():
    tasks = "len(os.listdir('/proc/self/task')) if os.path.exists('/proc/self/task') else 1"
    assert run(f"import os, resilience, threading; print(threading.active_count(), {tasks})") == ["1", "1"]


@pytest.mark.parametrize("module", ["yaml", "redis", "httpx", "fastapi", "starlette", "sqlalchemy", "rich"])
def test_importing_loads_no_optional_dependency(module):
    assert run(f"import sys, resilience; print({module!r} in sys.modules)") == ["False"]
