"""The dashboard's built page; made on first use where npm is at hand."""

import functools
from pathlib import Path

import pytest

from support.node import node_environment, npm
from support.one_at_a_time import one_at_a_time

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "dashboard"
BUILT = ROOT / "python" / "resilience" / "dashboard" / "static" / "index.html"


def _is_current():
    sources = [path for path in SOURCE.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    return BUILT.exists() and BUILT.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


@functools.lru_cache(maxsize=1)
@one_at_a_time
def built_page():
    """Build the page unless that has been done; returns why it can't be, or None."""
    if _is_current():
        return None
    if node_environment() is None:
        return "the dashboard's page isn't built, and npm isn't here to build it"
    for arguments in (["install"], ["run", "build"]):
        done = npm("--prefix", str(SOURCE), *arguments)
        if done.returncode != 0:
            return f"the dashboard's page can't be built here: {(done.stderr or done.stdout)[-300:]}"
    return None


def needs_page():
    """Skip the test where the page can't be had."""
    reason = built_page()
    if reason is not None:
        pytest.skip(reason)
