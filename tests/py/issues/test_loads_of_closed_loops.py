"""A load whose loop was closed under it kept the loop and its callers, and collecting a caller was an error."""

import asyncio
import gc
import logging
import weakref

import pytest

from resilience import Cache, cache


class Asked:
    """What somebody waits for on a loop that is going to be closed."""


@pytest.mark.filterwarnings("ignore:unclosed event loop", "ignore:coroutine")
def test_nothing_of_a_closed_loop_stays(monkeypatch):
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)  # it tells of destroyed tasks

    @cache
    async def load(key, asked):
        await asyncio.Event().wait()

    def leave_behind():
        loop = asyncio.new_event_loop()
        asked = Asked()
        task = loop.create_task(load("a", asked))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert not task.done()
        loop.close()
        return weakref.ref(loop), weakref.ref(asked)

    async def end():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await load("a", 1)

    references = leave_behind()
    asyncio.run(end())
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_new_size_is_checked():
    kept = Cache(10, max_bytes=10_000)
    for bad in (True, 1.5, "1"):
        with pytest.raises(TypeError, match="max_entries"):
            kept.resize(bad)
        with pytest.raises(TypeError, match="max_bytes"):
            kept.resize(max_bytes=bad)
    kept.resize()
    kept.resize(5)
    assert kept.stats()["max_size"] == 5
