"""Which event loop a call belongs to: the same as asyncio says, wherever it runs."""

import asyncio
import os
import threading

import pytest

from resilience import RequestBatcher
from support.programs import run


async def answers(payloads):
    return payloads


async def loops_of(batcher):
    """Return the loop that runs, and the one that a request found."""
    future = batcher.add_request("a", 1)
    assert await future == 1
    return asyncio.get_running_loop(), future.get_loop()


async def test_each_loop_of_a_thread_is_found_in_its_turn():
    def in_turn():
        batcher = RequestBatcher(1, 1, answers)
        return [asyncio.run(loops_of(batcher)) for _ in range(3)]

    found = await asyncio.to_thread(in_turn)
    assert [running is seen for running, seen in found] == [True] * 3
    assert len({id(running) for running, _ in found}) == 3


def test_loops_that_run_in_threads_at_once_are_told_apart():
    batcher = RequestBatcher(1, 1, answers)
    together = threading.Barrier(3)
    found = []

    async def often():
        for _ in range(20):
            together.wait()
            running, seen = await loops_of(batcher)
            found.append(running is seen)

    threads = [threading.Thread(target=asyncio.run, args=(often(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_under_a_loop_has_none_until_it_runs_its_own():
    program = """
        import asyncio, os
        from resilience import RequestBatcher

        async def answers(payloads):
            return payloads

        async def ask():
            return await RequestBatcher(1, 1, answers).add_request("a", 1)

        async def main():
            assert await ask() == 1
            child = os.fork()
            if child == 0:
                try:
                    RequestBatcher(1, 1, answers).add_request("a", 1)
                except RuntimeError as error:
                    print(error, flush=True)
                asyncio.events._set_running_loop(None)
                os._exit(asyncio.run(ask()))
            print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            assert await ask() == 1

        asyncio.run(main())
    """
    assert run(program) == "no running event loop: batchers need asyncio\nchild ended with 1\n"


def test_an_asyncio_without_its_c_half_is_asked():
    program = """
        import sys
        sys.modules["_asyncio"] = None
        import asyncio
        from resilience import CallTimeoutError, RequestBatcher, timeout

        async def answers(payloads):
            return payloads

        async def main():
            assert await RequestBatcher(1, 1, answers).add_request("a", 1) == 1
            try:
                await timeout(0.01).call(asyncio.get_running_loop().create_future)
            except CallTimeoutError:
                print("timed out")

        asyncio.run(main())
    """
    assert run(program) == "timed out\n"
