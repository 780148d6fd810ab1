"""When batches go, who leaves them, and what bounds them."""

import asyncio
import gc
import pickle
import threading

import pytest

from resilience import BatcherClosedError, BatchQueueFullError, CallTimeoutError, RequestBatcher
from resilience.testing import ManualClock
from support.batches import Recorder, add_many, wait_for
from support.until import settle


async def test_a_full_batch_goes_at_once():
    process = Recorder()
    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    assert await asyncio.gather(*add_many(batcher, [1, 2, 3])) == [10, 20, 30]
    assert process.batches == [[1, 2, 3]]


async def test_an_item_waits_at_most_its_own_window():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, clock=clock)
    first = batcher.add_request(1, 1)
    clock.advance(0.03)
    second = batcher.add_request(2, 2)
    clock.advance(0.0199)
    await settle()
    assert process.batches == []
    clock.advance(0.0001)
    assert await asyncio.gather(first, second) == [10, 20]
    assert process.batches == [[1, 2]]


async def test_the_timer_of_a_batch_that_has_gone_never_flushes_the_next_one_early():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(2, 50, process, clock=clock)
    await asyncio.gather(*add_many(batcher, [1, 2]))
    clock.advance(0.04)
    late = batcher.add_request(3, 3)
    clock.advance(0.01)  # when the first batch's timer was due
    await settle()
    assert len(process.batches) == 1
    clock.advance(0.04)
    assert await late == 30


async def test_items_wait_by_the_system_clock_too():
    batcher = RequestBatcher(10, 1, Recorder())
    assert await batcher.add_request(1, 1) == 10
    assert batcher.get_metrics()["dispatch_reasons"]["timer"] == 1


async def test_a_window_of_nothing_sends_what_one_pass_brings():
    process = Recorder()
    batcher = RequestBatcher(10, 0, process, clock=ManualClock())
    assert await asyncio.gather(*add_many(batcher, range(4))) == [0, 10, 20, 30]
    assert process.batches == [[0, 1, 2, 3]]


async def test_a_slow_batch_does_not_stop_the_next_one_from_filling():
    process = Recorder(held=True)
    batcher = RequestBatcher(2, 50, process, max_concurrent_batches=2, clock=ManualClock())
    futures = add_many(batcher, [1, 2, 3, 4])
    await process.until(2)
    assert process.batches == [[1, 2], [3, 4]]
    process.release.set()
    assert await asyncio.gather(*futures) == [10, 20, 30, 40]


async def test_batches_in_flight_are_bounded_and_a_free_slot_takes_what_waits():
    process = Recorder(held=True)
    batcher = RequestBatcher(1, 50, process, max_concurrent_batches=3, clock=ManualClock())
    futures = add_many(batcher, range(10))
    await settle()
    assert len(process.batches) == 3
    assert batcher.get_metrics()["in_flight"] == 3
    process.release.set()
    assert await asyncio.gather(*futures) == [item * 10 for item in range(10)]
    assert process.most_running == 3
    assert batcher.get_metrics()["in_flight"] == 0


async def test_one_of_four_callers_cancelled_before_dispatch_leaves_its_batch():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, clock=clock)
    futures = add_many(batcher, [1, 2, 3, 4])
    assert futures[1].cancel()
    clock.advance(0.05)
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert results[0::2] == [10, 30]
    assert isinstance(results[1], asyncio.CancelledError)
    assert process.batches == [[1, 3, 4]]
    assert batcher.get_metrics()["cancelled"] == 1


async def test_one_of_four_callers_cancelled_during_the_batch_breaks_nobody_else():
    process = Recorder(held=True)
    batcher = RequestBatcher(4, 50, process, clock=ManualClock())
    callers = [asyncio.create_task(wait_for(batcher, item)) for item in [1, 2, 3, 4]]
    await process.until(1)
    callers[2].cancel()
    await settle()
    process.release.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [results[i] for i in (0, 1, 3)] == [10, 20, 40]
    assert callers[2].cancelled()


async def test_a_batch_whose_callers_have_all_gone_before_dispatch_is_not_run():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, clock=clock)
    for future in add_many(batcher, [1, 2, 3]):
        future.cancel()
    clock.advance(1)
    await settle()
    assert process.batches == []
    assert batcher.get_metrics()["total_batches"] == 0


async def test_callers_that_go_between_dispatch_and_the_functions_start_are_left_out():
    process = Recorder()
    batcher = RequestBatcher(2, 50, process, clock=ManualClock())
    first, second = add_many(batcher, [1, 2])
    gone = add_many(batcher, [3, 4])
    for future in [first, *gone]:
        future.cancel()
    assert await second == 20
    await settle()
    assert process.batches == [[2]]
    assert batcher.get_metrics()["in_flight"] == 0


async def test_more_than_max_pending_is_refused_at_once():
    clock = ManualClock()
    batcher = RequestBatcher(10, 50, Recorder(), max_pending=3, name="small", clock=clock)
    futures = add_many(batcher, [1, 2, 3])
    refused = batcher.add_request(4, 4)
    assert refused.done()
    with pytest.raises(BatchQueueFullError, match="small") as caught:
        await refused
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    clock.advance(0.05)
    assert await asyncio.gather(*futures) == [10, 20, 30]
    assert batcher.get_metrics()["rejected"] == 1


async def test_an_item_whose_timeout_passes_before_dispatch_is_dropped_and_not_sent():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, clock=clock)
    hasty = batcher.add_request(1, 1, timeout=0.02)
    patient = batcher.add_request(2, 2)
    clock.advance(0.02)
    with pytest.raises(CallTimeoutError) as caught:
        await hasty
    assert caught.value.timeout == pytest.approx(0.02)
    clock.advance(0.03)
    assert await patient == 20
    assert process.batches == [[2]]
    assert batcher.get_metrics()["expired"] == 1


async def test_timeouts_count_while_all_slots_are_taken():
    clock, process = ManualClock(), Recorder(held=True)
    batcher = RequestBatcher(1, 50, process, max_concurrent_batches=1, clock=clock)
    running = batcher.add_request(1, 1)
    waiting = batcher.add_request(2, 2, timeout=0.5)
    await settle()
    clock.advance(0.5)
    with pytest.raises(CallTimeoutError):
        await waiting
    process.release.set()
    assert await running == 10
    assert process.batches == [[1]]


async def test_a_timeout_after_dispatch_does_nothing():
    clock, process = ManualClock(), Recorder(held=True)
    batcher = RequestBatcher(1, 50, process, clock=clock)
    future = batcher.add_request(1, 1, timeout=0.5)
    await process.until(1)
    clock.advance(1)
    await settle()
    process.release.set()
    assert await future == 10


async def test_adaptive_sends_a_lone_item_at_once_and_gathers_what_one_pass_brings():
    process = Recorder()
    batcher = RequestBatcher(10, 50, process, adaptive=True, clock=ManualClock())
    assert await batcher.add_request(1, 1) == 10
    assert await asyncio.gather(*add_many(batcher, [1, 2, 3])) == [10, 20, 30]
    assert process.batches == [[1], [1, 2, 3]]
    assert batcher.get_metrics()["dispatch_reasons"]["idle"] == 2


async def test_adaptive_fits_the_cost_of_a_batch():
    clock = ManualClock()

    async def process(items):
        clock.advance(0.04 + 0.002 * len(items))
        return items

    batcher = RequestBatcher(10, 50, process, adaptive=True, clock=clock)
    for size in (1, 3, 5, 7, 2):
        await asyncio.gather(*add_many(batcher, range(size)))
        clock.advance(10)
    metrics = batcher.get_metrics()
    assert metrics["cost_per_batch_ms"] == pytest.approx(40, rel=0.01)
    assert metrics["cost_per_item_ms"] == pytest.approx(2, rel=0.05)


async def test_closing_finishes_what_was_accepted_and_refuses_what_comes_later():
    process = Recorder()
    batcher = RequestBatcher(4, 50, process, name="closing", clock=ManualClock())
    futures = add_many(batcher, range(6))
    await batcher.close()
    assert [future.result() for future in futures] == [item * 10 for item in range(6)]
    with pytest.raises(BatcherClosedError, match="closing"):
        await batcher.add_request(9, 9)
    metrics = batcher.get_metrics()
    assert metrics["dispatch_reasons"]["close"] == 1
    assert metrics["pending_requests"] == metrics["in_flight"] == 0
    await batcher.close()


async def test_closing_while_full_drains_through_the_slots_there_are():
    process = Recorder(held=True)
    batcher = RequestBatcher(2, 50, process, max_pending=6, max_concurrent_batches=1, clock=ManualClock())
    futures = add_many(batcher, range(8))
    await process.until(1)
    assert batcher.get_metrics()["pending_requests"] == 6
    closing = asyncio.create_task(batcher.close())
    await settle()
    process.release.set()
    await closing
    assert [future.result() for future in futures] == [item * 10 for item in range(8)]
    assert process.most_running == 1


async def test_aborting_fails_what_waits_and_cancels_what_runs():
    process = Recorder(held=True)
    batcher = RequestBatcher(2, 50, process, max_concurrent_batches=1, clock=ManualClock())
    futures = add_many(batcher, range(5))
    await process.until(1)
    await batcher.close(drain=False)
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [BatcherClosedError] * 5
    assert process.running == 0
    assert batcher.get_metrics()["in_flight"] == 0


async def test_draining_gives_up_at_its_timeout():
    process = Recorder(held=True)
    batcher = RequestBatcher(2, 50, process, clock=ManualClock())
    futures = add_many(batcher, [1, 2])
    await batcher.close(timeout=0.001)
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [BatcherClosedError] * 2


async def test_leaving_the_context_drains_and_leaving_it_by_an_error_aborts():
    async with RequestBatcher(10, 50, Recorder(), clock=ManualClock()) as batcher:
        drained = batcher.add_request(1, 1)
    assert await drained == 10
    with pytest.raises(KeyError):
        async with RequestBatcher(10, 50, Recorder(), clock=ManualClock()) as batcher:
            aborted = batcher.add_request(1, 1)
            raise KeyError
    with pytest.raises(BatcherClosedError):
        await aborted


async def test_a_flush_sends_what_waits_and_returns_when_it_is_done():
    process = Recorder()
    batcher = RequestBatcher(10, 50, process, clock=ManualClock())
    futures = add_many(batcher, [1, 2])
    await batcher.flush()
    assert [future.result() for future in futures] == [10, 20]
    assert batcher.get_metrics()["dispatch_reasons"]["flush"] == 1
    await batcher.flush()


def test_a_loop_that_closes_leaves_no_unfinished_future_thread_or_warning():
    clock = ManualClock()
    batcher = RequestBatcher(10, 50, Recorder(), clock=clock)
    futures = []

    async def main():
        futures.extend(add_many(batcher, [1, 2]))

    threads = threading.active_count()
    asyncio.run(main(), debug=True)
    assert all(future.cancelled() for future in futures)
    assert batcher.get_metrics()["pending_requests"] == 0
    clock.advance(1)  # the timer of the closed loop
    assert threading.active_count() == threads
    gc.collect()


def test_a_loop_that_closes_gives_back_the_slots_of_the_batches_it_was_running():
    batcher = RequestBatcher(1, 50, max_concurrent_batches=1, clock=ManualClock())

    async def hang(items):
        await asyncio.Event().wait()

    async def first():
        batcher.process_func = hang
        batcher.add_request(1, 1)
        await settle()
        assert batcher.get_metrics()["in_flight"] == 1

    async def second():
        batcher.process_func = None
        return await batcher.add_request(2, 2)

    asyncio.run(first())
    assert asyncio.run(second()) == {"batch_processed": True, "payload": 2}
