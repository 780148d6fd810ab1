"""Batching without handling a batcher: the decorator and the helper for lists."""

import asyncio
import gc
import threading
import weakref

import pytest

from resilience import batch_requests, batched


async def test_a_decorated_function_takes_one_item_and_runs_on_lists():
    batches = []

    @batched(batch_size=3, batch_timeout_ms=1000)
    async def double(items):
        batches.append(items)
        return [item * 2 for item in items]

    assert await asyncio.gather(*(double(item) for item in range(6))) == [0, 2, 4, 6, 8, 10]
    assert batches == [[0, 1, 2], [3, 4, 5]]
    assert double.__name__ == "double"
    assert double.batcher.get_metrics()["total_batches"] == 2


def test_threads_that_use_a_method_first_at_once_get_one_batcher():
    class Model:
        looks, found = 0, []

        def __hash__(self):
            self.looks += 1
            if self.looks == 2:  # the other thread comes between this one's look and what it keeps
                other = threading.Thread(target=lambda: self.found.append(Model.run.batcher_of(self)))
                other.start()
                other.join()
            return 1

        def __eq__(self, other):
            return self is other

        @batched()
        async def run(self, items):
            return items

    model = Model()
    assert Model.run.batcher_of(model) is model.found[0]


async def test_a_decorated_method_batches_per_instance_and_keeps_none_alive():
    class Model:
        def __init__(self, factor):
            self.factor = factor
            self.batches = []

        @batched(batch_size=2, batch_timeout_ms=1000)
        async def scale(self, items):
            self.batches.append(items)
            return [item * self.factor for item in items]

    two, three = Model(2), Model(3)
    assert await asyncio.gather(two.scale(1), three.scale(1), two.scale(2), three.scale(2)) == [2, 3, 4, 6]
    assert two.batches == [[1, 2]]
    assert three.batches == [[1, 2]]
    reference = weakref.ref(two)
    del two
    await asyncio.sleep(0)
    gc.collect()
    assert reference() is None


async def test_equal_items_share_one_place_with_dedupe():
    batches = []

    @batched(batch_size=2, batch_timeout_ms=1000, dedupe=True)
    async def upper(items):
        batches.append(items)
        return [item.upper() for item in items]

    assert await asyncio.gather(upper("a"), upper("a"), upper("b")) == ["A", "A", "B"]
    assert batches == [["a", "b"]]


def test_only_a_function_of_one_list_can_be_batched():
    async def three(first, second, third):
        return [first, second, third]

    with pytest.raises(TypeError, match="one list"):
        batched()(three)
    with pytest.raises(ValueError, match="batch_size"):
        batched(batch_size=0)(lambda items: items)


async def test_a_list_of_requests_keeps_its_order():
    sizes = []

    async def square(items):
        sizes.append(len(items))
        return [item * item for item in items]

    assert await batch_requests(range(25), square, batch_size=10) == [n * n for n in range(25)]
    assert sizes == [10, 10, 5]
    assert await batch_requests([], square) == []


async def test_the_first_error_of_a_list_is_raised():
    async def refuse(items):
        raise ValueError(f"{len(items)} items refused")

    with pytest.raises(ValueError, match="items refused"):
        await batch_requests([1, 2, 3], refuse, batch_size=3)
