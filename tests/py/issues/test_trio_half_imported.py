"""While another thread imported trio, as httpcore does, calls that waited failed: they asked half a module."""

import asyncio
import sys
from types import ModuleType

import pytest

from resilience import Cache, CircuitBreaker, hedge, retry


@pytest.fixture(params=["trio", "trio.lowlevel"])
def _half(request, monkeypatch):
    """Trio's modules as far as an import has come that has just begun one of them."""
    for name in [name for name in sys.modules if name == "trio" or name.startswith("trio.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
    monkeypatch.setitem(sys.modules, request.param, ModuleType(request.param))


@pytest.mark.usefixtures("_half")
async def test_caches_load_and_retries_wait(clock):
    answers = iter([OSError(), "here"])

    async def ask():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    again = retry(on=OSError, wait_initial=1.0, jitter="none", clock=clock)
    loading = asyncio.create_task(Cache().get_or_load("key", lambda: again.call(ask)))
    while not loading.done():
        await asyncio.sleep(0)
        clock.advance(1.0)
    assert await loading == "here"
    assert await hedge(10.0).call(asyncio.sleep, 0, "done") == "done"


@pytest.mark.usefixtures("_half")
def test_threads_hold_permits_of_breakers():
    breaker = CircuitBreaker()
    with breaker:
        pass
    assert breaker.success_count == 1
