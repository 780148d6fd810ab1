"""What callers get: results in order, and failures each their own."""

import asyncio
import collections

import pytest

from resilience import BatchError, RequestBatcher
from resilience.testing import ManualClock
from support.batches import PoisonedError, add_many, poisoned_by
from support.until import settle


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        ([1, 2], "2 results"),
        ([1, 2, 3, 4], "4 results"),
        (None, "None"),
        ("abc", "a str"),
        (b"abc", "a bytes"),
        ({1: 1, 2: 2, 3: 3}, "a dict"),
        ({1, 2, 3}, "a set"),
        (7, "a int"),
        (iter([1, 2, 3]), "a list_iterator"),
    ],
    ids=lambda value: str(value).split(" at ")[0],
)
async def test_a_result_that_does_not_match_fails_every_item_naming_both_counts(answer, given):
    async def process(items):
        return answer

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2, 3]), return_exceptions=True)
    assert [type(result).__mro__[1] for result in results] == [BatchError] * 3
    assert all(given in str(result) and "for 3 items" in str(result) for result in results)
    assert len(set(map(id, results))) == 3
    assert batcher.get_metrics()["failed_batches"] == 1


class Array:
    """Like an ndarray: a sequence in all but its type."""

    def __init__(self, *values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __array__(self):
        raise AssertionError("nobody needs it")


@pytest.mark.parametrize("make", [list, tuple, collections.deque, lambda items: Array(*items)])
async def test_any_sequence_of_the_right_length_will_do(make):
    async def process(items):
        return make([item * 10 for item in items])

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    assert await asyncio.gather(*add_many(batcher, [1, 2, 3])) == [10, 20, 30]


async def test_an_exception_in_a_results_place_fails_only_that_item():
    async def process(items):
        return [ValueError("odd") if item % 2 else item for item in items]

    batcher = RequestBatcher(4, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [0, 1, 2, 3]), return_exceptions=True)
    assert results[0::2] == [0, 2]
    assert [str(result) for result in results[1::2]] == ["odd", "odd"]


async def test_one_exception_in_several_places_is_copied_for_each():
    shared = ValueError("shared")

    async def process(items):
        return [shared] * len(items)

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2, 3]), return_exceptions=True)
    assert results[0] is shared
    assert len(set(map(id, results))) == 3


@pytest.mark.parametrize("slot", [asyncio.CancelledError(), KeyboardInterrupt(), StopIteration(3)])
async def test_an_exception_in_a_results_place_that_would_mean_something_else_becomes_a_batch_error(slot):
    async def process(items):
        return [slot]

    batcher = RequestBatcher(1, 50, process, clock=ManualClock())
    with pytest.raises(BatchError) as caught:
        await batcher.add_request(1, 1)
    assert caught.value.__cause__ is slot


async def test_the_sync_function_may_return_its_results_directly():
    batcher = RequestBatcher(2, 50, lambda items: [-item for item in items], clock=ManualClock())
    assert await asyncio.gather(*add_many(batcher, [1, 2])) == [-1, -2]


async def test_a_batch_that_raises_fails_each_item_with_an_exception_of_its_own():
    process, _ = poisoned_by(2)
    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2, 3]), return_exceptions=True)
    assert [type(result) for result in results] == [PoisonedError] * 3
    assert len(set(map(id, results))) == 3
    assert all(result.args == ([2],) for result in results)


async def test_a_sole_caller_gets_the_very_exception_of_the_function():
    error = PoisonedError()

    async def process(items):
        raise error

    batcher = RequestBatcher(1, 50, process, clock=ManualClock())
    with pytest.raises(PoisonedError) as caught:
        await batcher.add_request(1, 1)
    assert caught.value is error


class UncopyableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one}{two}")


async def test_an_exception_that_cannot_be_copied_reaches_everybody_without_growing():
    async def process(items):
        raise UncopyableError("a", "b")

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    futures = add_many(batcher, [1, 2, 3])
    await asyncio.wait(futures)

    def depth(future):
        try:
            future.result()
        except UncopyableError as error:
            traceback, frames = error.__traceback__, 0
            while traceback is not None:
                traceback, frames = traceback.tb_next, frames + 1
            return frames
        raise AssertionError("it should have failed")

    assert len({depth(future) for _ in range(3) for future in futures}) == 1


@pytest.mark.parametrize("poison", range(16))
async def test_bisecting_leaves_a_poisoned_item_alone_in_few_calls(poison):
    process, calls = poisoned_by(poison)
    batcher = RequestBatcher(16, 50, process, on_poison="bisect", clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, range(16)), return_exceptions=True)
    assert [result for item, result in enumerate(results) if item != poison] == [
        item * 10 for item in range(16) if item != poison
    ]
    assert isinstance(results[poison], PoisonedError)
    assert len(calls) <= 2 * 4 + 1


async def test_bisecting_finds_several_poisoned_items_and_spares_the_others():
    process, _ = poisoned_by(0, 5, 6)
    batcher = RequestBatcher(8, 50, process, on_poison="bisect", clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, range(8)), return_exceptions=True)
    failed = [item for item, result in enumerate(results) if isinstance(result, PoisonedError)]
    assert failed == [0, 5, 6]


async def test_a_wrong_length_is_the_functions_fault_and_is_not_bisected():
    calls = []

    async def process(items):
        calls.append(items)
        return []

    batcher = RequestBatcher(4, 50, process, on_poison="bisect", clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, range(4)), return_exceptions=True)
    assert all(isinstance(result, BatchError) for result in results)
    assert len(calls) == 1


async def test_a_function_raising_cancelled_error_gives_its_callers_a_batch_error_from_it():
    async def process(items):
        raise asyncio.CancelledError("given up")

    batcher = RequestBatcher(2, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2]), return_exceptions=True)
    assert [type(result) for result in results] == [BatchError] * 2
    assert all(isinstance(result.__cause__, asyncio.CancelledError) for result in results)
    assert batcher.get_metrics()["in_flight"] == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_function_that_ends_the_program_leaves_nobody_waiting(error):
    async def process(items):
        raise error

    batcher = RequestBatcher(2, 50, process, clock=ManualClock())
    loop = asyncio.new_event_loop()

    async def main():
        return await asyncio.gather(*add_many(batcher, [1, 2]), return_exceptions=True)

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    results = loop.run_until_complete(task)
    assert [type(result) for result in results] == [BatchError] * 2
    assert all(isinstance(result.__cause__, error) for result in results)
    assert batcher.get_metrics()["in_flight"] == 0
    loop.close()


async def test_a_plain_function_raising_stop_iteration_ends_nobodys_iteration():
    def process(items):
        raise StopIteration

    batcher = RequestBatcher(1, 50, process, clock=ManualClock())
    with pytest.raises(RuntimeError, match="StopIteration"):
        await batcher.add_request(1, 1)


async def test_a_function_that_yields_settles_each_item_as_it_comes():
    gate = asyncio.Event()

    async def process(items):
        for item in items:
            if item == 2:
                await gate.wait()
            yield item * 10

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    first, second, third = add_many(batcher, [1, 2, 3])
    assert await first == 10
    assert not second.done()
    gate.set()
    assert await asyncio.gather(second, third) == [20, 30]


@pytest.mark.parametrize("yields", [0, 2])
async def test_a_stream_that_ends_early_fails_the_rest_naming_both_counts(yields):
    async def process(items):
        for item in items[:yields]:
            yield item

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2, 3]), return_exceptions=True)
    assert results[:yields] == [1, 2, 3][:yields]
    assert all(f"{yields} results for 3 items" in str(result) for result in results[yields:])


async def test_a_stream_that_raises_fails_only_what_it_has_not_answered():
    async def process(items):
        yield 1
        raise PoisonedError

    batcher = RequestBatcher(3, 50, process, clock=ManualClock())
    results = await asyncio.gather(*add_many(batcher, [1, 2, 3]), return_exceptions=True)
    assert [type(result) for result in results] == [int, PoisonedError, PoisonedError]


async def test_a_stream_that_yields_too_much_is_closed_and_logged(caplog):
    closed = []

    async def process(items):
        try:
            for item in [*items, "extra"]:
                yield item
        finally:
            closed.append(True)

    batcher = RequestBatcher(2, 50, process, clock=ManualClock())
    assert await asyncio.gather(*add_many(batcher, [1, 2])) == [1, 2]
    await settle()
    assert "more than 2 results" in caplog.text
    assert closed == [True]
    assert batcher.get_metrics()["failed_batches"] == 1
