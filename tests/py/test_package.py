"""The package as a whole: what importing it does and does not do."""

import ast
import shutil
import subprocess
import sys
import sysconfig
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


IMPORT_IN_ANOTHER_INTERPRETER = """
import sys
import resilience._core
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    made = interpreters.create("isolated" if {isolated} else "legacy")
else:
    import _xxsubinterpreters as interpreters
    made = interpreters.create(isolated={isolated})
interpreters.run_string(made, '''
import sys
sys.path[:] = {path}
try:
    import resilience._core
except ImportError as refused:
    print(refused, flush=True)
''')
interpreters.destroy(made)
"""


@pytest.mark.parametrize("isolated", [True, False])
def test_a_subinterpreter_is_refused_with_the_reason(isolated):
    said = run(IMPORT_IN_ANOTHER_INTERPRETER.format(isolated=isolated, path=sys.path))
    assert "subinterpreters" in said


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler is here")
def test_building_for_a_free_threaded_interpreter_is_refused_with_the_reason():
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        pytest.skip("the headers of this interpreter are not here")
    module = Path(__file__).parents[2] / "cpp/bindings/module.cpp"
    compiler = subprocess.run(
        ["c++", "-std=c++20", "-E", "-DPy_GIL_DISABLED=1", f"-I{headers}", str(module)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert compiler.returncode != 0
    assert "resilience needs an interpreter with the GIL" in compiler.stderr


@pytest.mark.parametrize("module", resilience._PUBLIC_MODULES)
def test_public_modules_are_there_without_a_further_import(module):
    assert run(f"import resilience; print(resilience.{module}.__name__)") == [f"resilience.{module}"]
