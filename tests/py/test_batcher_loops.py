"""Threads, event loops and their ends."""

import asyncio
import collections
import concurrent.futures
import gc
import threading

import pytest

from resilience import RequestBatcher, _batch_inbox
from resilience.testing import ManualClock
from support.batches import PoisonedError, Recorder, add_many, poisoned_by
from support.until import settle


def run_loops(*mains):
    """Run each coroutine function on a loop and thread of its own; their results in order."""
    with concurrent.futures.ThreadPoolExecutor(len(mains)) as pool:
        return [future.result(60) for future in [pool.submit(asyncio.run, main()) for main in mains]]


def test_two_loops_share_a_batcher_and_each_caller_wakes_on_its_own():
    seen = collections.defaultdict(set)
    barrier = threading.Barrier(2)

    async def process(items):
        seen[threading.get_ident()].update(items)
        return [(item, threading.get_ident()) for item in items]

    batcher = RequestBatcher(7, 1, process)

    def client(offset):
        async def main():
            barrier.wait(60)
            futures = add_many(batcher, range(offset, offset + 500))
            results = await asyncio.gather(*futures)
            assert [item for item, _ in results] == list(range(offset, offset + 500))
            assert {thread for _, thread in results} == {threading.get_ident()}
            return len(results)

        return main

    assert run_loops(client(0), client(1000)) == [500, 500]
    assert not set.intersection(*seen.values())
    metrics = batcher.get_metrics()
    assert metrics["total_requests"] == 1000
    assert metrics["pending_requests"] == metrics["in_flight"] == 0


def test_a_slot_that_frees_on_one_loop_serves_another():
    started, release = threading.Event(), threading.Event()
    batcher = RequestBatcher(1, 50, max_concurrent_batches=1)

    async def process(items):
        if items == ["slow"]:
            started.set()
            await asyncio.to_thread(release.wait, 60)
        return items

    batcher.process_func = process

    async def holder():
        return await batcher.add_request(1, "slow")

    async def waiter():
        await asyncio.to_thread(started.wait, 60)
        future = batcher.add_request(2, "quick")
        await settle()
        assert not future.done()
        release.set()
        return await future

    assert run_loops(holder, waiter) == ["slow", "quick"]


async def test_other_threads_submit_to_the_loop_the_batcher_is_bound_to():
    process = Recorder()
    batcher = RequestBatcher(5, 1, process)
    await batcher.add_request(0, 0)
    outcomes = await asyncio.to_thread(lambda: [batcher.submit_threadsafe(item, item) for item in range(20)])
    assert await asyncio.gather(*map(asyncio.wrap_future, outcomes)) == [item * 10 for item in range(20)]


async def test_a_failure_reaches_the_other_thread():
    process, _ = poisoned_by(1)
    batcher = RequestBatcher(1, 1, process)
    await batcher.add_request(0, 0)
    outcome = batcher.submit_threadsafe(1, 1)
    with pytest.raises(PoisonedError):
        await asyncio.wrap_future(outcome)


async def test_cancelling_what_another_thread_submitted_takes_it_out_of_its_batch():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, clock=clock)
    batcher.add_request(0, 0).cancel()
    outcome = batcher.submit_threadsafe(1, 1)
    early = batcher.submit_threadsafe(2, 2)
    assert early.cancel()
    await settle()
    assert batcher.get_metrics()["pending_requests"] == 1
    assert outcome.cancel()
    await settle()
    assert batcher.get_metrics()["pending_requests"] == 0
    assert process.batches == []


def test_submitting_needs_a_live_loop():
    batcher = RequestBatcher(1, 1)
    with pytest.raises(RuntimeError, match="bound to no live event loop"):
        batcher.submit_threadsafe(1, 1)

    async def bind():
        await batcher.add_request(1, 1)

    asyncio.run(bind())
    with pytest.raises(RuntimeError, match="bound to no live event loop"):
        batcher.submit_threadsafe(1, 1)


def test_a_loop_that_closes_leaves_no_other_thread_waiting():
    batcher = RequestBatcher(10, 50, clock=ManualClock())

    async def main():
        batcher.add_request(0, 0).cancel()
        taken_in = batcher.submit_threadsafe(1, 1)
        await settle()
        return [taken_in, batcher.submit_threadsafe(2, 2)]

    for outcome in asyncio.run(main()):
        assert outcome.done()


def test_a_loop_that_closes_while_a_thread_submits_leaves_it_not_waiting(monkeypatch):
    batcher, loop = RequestBatcher(10, 50, clock=ManualClock()), asyncio.new_event_loop()

    async def bind():
        batcher.add_request(0, 0).cancel()

    def closed_meanwhile():
        loop.close()
        return concurrent.futures.Future()

    loop.run_until_complete(bind())
    first = batcher.submit_threadsafe(1, 1)  # and the loop, which doesn't turn, is to be woken only once
    monkeypatch.setattr(_batch_inbox, "_Outcome", closed_meanwhile)
    second = batcher.submit_threadsafe(2, 2)
    assert [outcome.done() for outcome in (first, second)] == [True, True]
    with pytest.raises(RuntimeError, match="bound to no live event loop"):
        batcher.submit_threadsafe(3, 3)


def test_add_request_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        RequestBatcher().add_request(1, 1)


def test_a_batcher_made_at_import_works_in_any_later_loop_and_the_next():
    batcher = RequestBatcher(2, 1, lambda items: items)

    async def main():
        return await asyncio.gather(*add_many(batcher, [1, 2]), batcher.add_request(3, 3))

    assert [asyncio.run(main()) for _ in range(3)] == [[1, 2, 3]] * 3


async def test_a_batcher_that_nobody_holds_still_answers_those_who_wait():
    clock = ManualClock()

    def submit():
        return RequestBatcher(10, 50, Recorder(), clock=clock).add_request(1, 1)

    future = submit()
    gc.collect()
    clock.advance(0.05)
    assert await future == 10


async def test_batchers_and_their_futures_are_collected():
    class Payload(int):
        alive = 0

        def __init__(self, *_):
            type(self).alive += 1

        def __del__(self):
            type(self).alive -= 1

    for _ in range(3):
        batcher = RequestBatcher(2, 50, lambda items: items, clock=ManualClock())
        batcher.itself = batcher
        await asyncio.gather(*add_many(batcher, [Payload(1), Payload(2)]))
        batcher.add_request(1, Payload(3)).cancel()
    del batcher
    await settle()
    gc.collect()
    assert Payload.alive == 0
