"""The package as a whole: what importing it does and does not do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resilience


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


def test_everything_that_is_exported_exists():
    missing = [name for name in resilience.__all__ if not hasattr(resilience, name)]
    assert missing == []


def test_type_checkers_read_the_same_names_as_programs():
    tree = ast.parse(Path(resilience.__file__).with_suffix(".pyi").read_text())
    homes = {
        name.asname: node.module.removeprefix("resilience.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert homes == resilience._HOMES


def test_importing_loads_a_name_only_when_it_is_used():
    code = "import sys, resilience; {}; print('resilience._core' in sys.modules)"
    assert run(code.format("pass")) == ["False"]
    assert run(code.format("resilience.CircuitBreaker")) == ["True"]


def test_importing_starts_no_thread():
    tasks = "len(os.listdir('/proc/self/task')) if os.path.exists('/proc/self/task') else 1"
    assert run(f"import os, resilience, threading; print(threading.active_count(), {tasks})") == ["1", "1"]


OPTIONAL = [
    "yaml",
    "redis",
    "hiredis",
    "msgpack",
    "httpx",
    "httpx2",
    "aiohttp",
    "fastapi",
    "starlette",
    "prometheus_client",
    "jwt",
    "sqlalchemy",
    "asyncpg",
    "aiosqlite",
    "opentelemetry",
    "openai",
    "anthropic",
    "psutil",
    "rich",
    "uvicorn",
    "numpy",
]


@pytest.mark.parametrize("module", OPTIONAL)
def test_importing_loads_no_optional_dependency(module):
    assert run(f"import sys, resilience; print({module!r} in sys.modules)") == ["False"]
