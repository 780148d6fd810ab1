"""What tells items apart: ids, priorities, weights; and what a request may say."""

import asyncio

import pytest

from resilience import RequestBatcher, priority
from resilience.testing import ManualClock
from support.batches import PoisonedError, Recorder, add_many, poisoned_by
from support.until import settle


async def test_equal_ids_are_separate_items_and_results_keep_the_order_of_items():
    process = Recorder()
    batcher = RequestBatcher(4, 50, process, clock=ManualClock())
    futures = [batcher.add_request("same", item) for item in [4, 3, 2, 1]]
    assert await asyncio.gather(*futures) == [40, 30, 20, 10]
    assert process.batches == [[4, 3, 2, 1]]


async def test_with_dedupe_equal_ids_that_wait_together_are_one_item():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(3, 50, process, dedupe=True, clock=clock)
    futures = [batcher.add_request(key, key) for key in [1, 2, 1, 1]]
    clock.advance(0.05)
    assert await asyncio.gather(*futures) == [10, 20, 10, 10]
    assert await asyncio.gather(batcher.add_request(1, 1), *add_many(batcher, [5, 6])) == [10, 50, 60]
    assert process.batches == [[1, 2], [1, 5, 6]]


async def test_with_dedupe_an_item_stays_until_its_last_caller_has_gone():
    clock, process = ManualClock(), Recorder()
    batcher = RequestBatcher(10, 50, process, dedupe=True, clock=clock)
    first, second, third = (batcher.add_request("same", 7) for _ in range(3))
    first.cancel()
    second.cancel()
    clock.advance(0.05)
    assert await third == 70
    alone, alone_too = (batcher.add_request("same", 7) for _ in range(2))
    alone.cancel()
    alone_too.cancel()
    assert batcher.get_metrics()["pending_requests"] == 0
    clock.advance(0.05)
    await settle()
    assert process.batches == [[7]]


async def test_with_dedupe_each_caller_has_its_own_exception():
    process, _ = poisoned_by(1)
    batcher = RequestBatcher(2, 0, process, dedupe=True, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 1, 1]), return_exceptions=True)
    assert [type(result) for result in results] == [PoisonedError] * 3
    assert len(set(map(id, results))) == 3


async def test_with_dedupe_an_unhashable_id_fails_its_own_request():
    batcher = RequestBatcher(2, 0, Recorder(), dedupe=True, clock=ManualClock())
    with pytest.raises(TypeError, match="unhashable"):
        await batcher.add_request([], 1)
    assert await batcher.add_request(1, 1) == 10


async def test_higher_priorities_go_first():
    clock, process = ManualClock(), Recorder(held=True)
    batcher = RequestBatcher(2, 50, process, max_concurrent_batches=1, clock=clock)
    futures = [batcher.add_request(item, item, priority=item % 3) for item in range(8)]
    await settle()
    process.release.set()
    clock.advance(0.05)
    await asyncio.gather(*futures)
    assert process.batches == [[1, 0], [2, 5], [4, 7], [3, 6]]


async def test_the_priority_around_the_caller_is_the_requests():
    clock, process = ManualClock(), Recorder(held=True)
    batcher = RequestBatcher(1, 50, process, max_concurrent_batches=1, clock=clock)
    first = batcher.add_request(0, 0)
    futures = [first]
    for item, around in enumerate((1, 10**30, -(10**30), 2), start=1):
        with priority(around):
            futures.append(batcher.add_request(item, item))
            if item == 1:
                futures.append(batcher.add_request(5, 5, priority=-1))
    process.release.set()
    await asyncio.gather(*futures)
    assert process.batches == [[0], [2], [4], [1], [5], [3]]


async def test_weights_fill_a_batch():
    process = Recorder()
    batcher = RequestBatcher(
        10, 50, process, weigher=lambda item: item, max_batch_weight=10, clock=ManualClock()
    )
    assert await asyncio.gather(*add_many(batcher, [6, 4])) == [60, 40]
    assert await batcher.add_request(1, 11) == 110
    assert process.batches == [[6, 4], [11]]


async def test_a_weigher_that_fails_fails_its_own_request():
    batcher = RequestBatcher(1, 50, Recorder(), weigher=len, max_batch_weight=10, clock=ManualClock())
    with pytest.raises(TypeError):
        await batcher.add_request(1, 1)
    batcher = RequestBatcher(1, 50, Recorder(), weigher=lambda _: -1, clock=ManualClock())
    with pytest.raises(ValueError, match="weigher must return a number >= 0"):
        await batcher.add_request(1, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, r"batch_size must be an integer in \[1, 1000000\], got 0"),
        ({"batch_size": -3}, "batch_size must be an integer"),
        ({"batch_timeout_ms": -1}, r"batch_timeout_ms must be a number in \[0, 3600000\], got -"),
        ({"batch_timeout_ms": float("nan")}, "batch_timeout_ms must be a number"),
        ({"max_pending": 0}, "max_pending must be an integer"),
        ({"max_concurrent_batches": 0}, "max_concurrent_batches must be an integer"),
        ({"weigher": len, "max_batch_weight": 0}, "max_batch_weight must be a number > 0"),
        ({"max_batch_weight": 5}, "max_batch_weight needs a weigher"),
        ({"on_poison": "drink"}, 'on_poison must be "fail" or "bisect"'),
    ],
)
def test_settings_out_of_range_are_refused_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        RequestBatcher(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1.5},
        {"batch_size": True},
        {"batch_timeout_ms": "50"},
        {"process_func": 3},
        {"weigher": 3},
        {"clock": 3},
        {"max_pending": None},
    ],
)
def test_settings_of_the_wrong_type_are_refused_at_construction(settings):
    with pytest.raises(TypeError, match=next(iter(settings))):
        RequestBatcher(**settings)


async def test_arguments_of_a_request_are_checked():
    batcher = RequestBatcher()
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0"):
        batcher.add_request(1, 1, timeout=-1)
    with pytest.raises(ValueError, match="timeout"):
        batcher.add_request(1, 1, timeout=float("nan"))
    with pytest.raises(ValueError, match="priority must be an integer"):
        batcher.add_request(1, 1, priority=10**30)
    with pytest.raises(TypeError):
        batcher.add_request(1, 1, priority="high")
    with pytest.raises(TypeError, match="unexpected keyword"):
        batcher.add_request(1, 1, colour=1)
    with pytest.raises(TypeError, match="needs a request_id and a payload"):
        batcher.add_request(1)
    with pytest.raises(TypeError, match="positional"):
        batcher.add_request(1, 2, 3)
    future = batcher.add_request(request_id=1, payload=2, timeout=None)
    assert future.cancel()


async def test_without_a_function_an_item_answers_with_its_payload():
    batcher = RequestBatcher(1, clock=ManualClock())
    assert await batcher.add_request("id", 5) == {"batch_processed": True, "payload": 5}


async def test_averages_are_exact_over_all_requests():
    clock = ManualClock()
    batcher = RequestBatcher(4, 50, Recorder(), clock=clock)
    await asyncio.gather(*add_many(batcher, range(4)))
    alone = batcher.add_request(9, 9)
    clock.advance(0.05)
    await alone
    metrics = batcher.get_metrics()
    assert metrics["total_batches"] == 2
    assert metrics["total_requests"] == 5
    assert metrics["avg_batch_size"] == 2.5
    assert metrics["efficiency_ratio"] == 2.5 / 4
    assert metrics["avg_wait_time_ms"] == pytest.approx(50 / 5)
    assert metrics["p99_wait_time_ms"] == pytest.approx(50, rel=0.04)
    assert metrics["p50_wait_time_ms"] < 0.001


async def test_metrics_say_why_batches_went_and_how_old_the_queue_is():
    clock = ManualClock()
    batcher = RequestBatcher(2, 50, Recorder(), max_pending=10, clock=clock)
    await asyncio.gather(*add_many(batcher, [1, 2]))
    waiting = batcher.add_request(3, 3)
    clock.advance(0.02)
    metrics = batcher.get_metrics()
    assert metrics["oldest_pending_ms"] == pytest.approx(20)
    assert metrics["pending_requests"] == 1
    assert metrics["fill"] == 0.1
    clock.advance(0.03)
    await waiting
    await batcher.flush()
    assert batcher.get_metrics()["dispatch_reasons"] == {
        "full": 1, "timer": 1, "idle": 0, "deadline": 0, "flush": 0, "close": 0,
    }  # fmt: skip
    assert batcher.get_metrics()["oldest_pending_ms"] == 0


async def test_size_window_and_concurrency_change_while_items_wait():
    clock, process = ManualClock(), Recorder(held=True)
    batcher = RequestBatcher(10, 50, process, max_concurrent_batches=1, clock=clock)
    futures = add_many(batcher, range(6))
    batcher.batch_size = 2
    await process.until(1)
    batcher.max_concurrent_batches = 2
    await process.until(2)
    batcher.tune(batch_size=10, batch_timeout_ms=5, max_concurrent_batches=3)
    clock.advance(0.005)
    await process.until(3)
    process.release.set()
    await asyncio.gather(*futures)
    assert process.batches == [[0, 1], [2, 3], [4, 5]]
    assert (batcher.batch_size, batcher.batch_timeout_ms, batcher.max_concurrent_batches) == (10, 5, 3)


async def test_a_change_that_is_refused_changes_nothing():
    batcher = RequestBatcher(10, 50)
    with pytest.raises(ValueError, match="batch_timeout_ms"):
        batcher.tune(batch_size=5, batch_timeout_ms=-1)
    with pytest.raises(TypeError, match="unknown settings: colour"):
        batcher.tune(colour=3)
    assert batcher.batch_size == 10


async def test_the_function_may_change_while_items_wait():
    batcher = RequestBatcher(2, 50, clock=ManualClock())
    assert batcher.process_func is None
    first = batcher.add_request(1, 1)
    batcher.process_func = Recorder()
    assert await asyncio.gather(first, batcher.add_request(2, 2)) == [10, 20]
