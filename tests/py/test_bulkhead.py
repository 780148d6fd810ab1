"""Bulkheads: who runs, who waits, and that no place is ever lost."""

import asyncio
import threading

import pytest

from resilience import BulkheadFullError, bulkhead, priority
from resilience.testing import ManualClock
from support.policies import Gate
from support.until import settle


async def test_more_calls_than_places_are_rejected():
    room, gate = bulkhead(2, name="pool"), Gate()
    running = [asyncio.create_task(room.call(gate)) for _ in range(2)]
    await settle()
    with pytest.raises(BulkheadFullError, match="'pool' is full") as caught:
        await room.call(gate)
    assert caught.value.retry_after is None
    gate.open()
    await asyncio.gather(*running)
    assert room.in_flight == 0


async def test_calling_takes_no_place_before_the_first_step():
    room = bulkhead(1)
    coroutine = room.call(Gate())
    assert room.in_flight == 0
    coroutine.close()


async def test_waiters_are_served_in_order_of_arrival():
    room, gate = bulkhead(1, max_waiting=5), Gate()
    tasks = [asyncio.create_task(room.call(gate, i)) for i in range(6)]
    await settle()
    assert (room.in_flight, room.waiting) == (1, 5)
    gate.open()
    await asyncio.gather(*tasks)
    assert gate.started == list(range(6))
    assert (room.in_flight, room.waiting) == (0, 0)


async def test_higher_priority_is_served_first():
    room, gate = bulkhead(1, max_waiting=5), Gate()
    tasks = [asyncio.create_task(room.call(gate, "holder"))]
    await settle()
    for name, level in (("low", -1), ("first", 0), ("high", 5), ("second", 0)):
        with priority(level):
            tasks.append(asyncio.create_task(room.call(gate, name)))
        await settle()
    gate.open()
    await asyncio.gather(*tasks)
    assert gate.started == ["holder", "high", "first", "second", "low"]


def test_priority_takes_integers_only_and_nests():
    with pytest.raises(TypeError, match="n must be an integer"):
        priority(1.5)
    with priority(1), priority(2):
        pass


async def test_max_wait_ends_a_wait_and_nothing_else():
    clock = ManualClock()
    room, gate = bulkhead(1, max_waiting=2, max_wait=3.0, clock=clock), Gate()
    holder = asyncio.create_task(room.call(gate))
    await settle()
    waiter = asyncio.create_task(room.call(gate))
    await settle()
    clock.advance(2.999)
    await settle()
    assert not waiter.done()
    clock.advance(0.001)
    with pytest.raises(BulkheadFullError):
        await waiter
    assert (room.in_flight, room.waiting) == (1, 0)
    gate.open()
    await holder


async def test_a_waiter_that_is_cancelled_leaks_nothing():
    room, gate = bulkhead(1, max_waiting=2), Gate()
    holder = asyncio.create_task(room.call(gate))
    await settle()
    first, second = (asyncio.create_task(room.call(gate)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert room.waiting == 1
    gate.open()
    await asyncio.gather(holder, second)
    assert (room.in_flight, room.waiting) == (0, 0)


async def test_a_waiter_cancelled_in_the_pass_in_which_it_is_served_passes_the_place_on():
    room = bulkhead(1, max_waiting=2)
    gates = [Gate(), Gate(), Gate()]
    holder = asyncio.create_task(room.call(gates[0]))
    await settle()
    first, second = (asyncio.create_task(room.call(gate)) for gate in gates[1:])
    await settle()
    gates[0].open()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await settle()
    assert holder.done()
    assert first.cancelled()
    assert (room.in_flight, gates[2].inside) == (1, 1)
    gates[2].open()
    await second
    assert (room.in_flight, room.waiting) == (0, 0)


async def test_resizing_serves_waiters_that_fit_in_now():
    room, gate = bulkhead(1, max_waiting=5), Gate()
    tasks = [asyncio.create_task(room.call(gate)) for _ in range(4)]
    await settle()
    room.resize(3)
    await settle()
    assert (room.in_flight, room.waiting) == (3, 1)
    with pytest.raises(ValueError, match="max_concurrent"):
        room.resize(0)
    assert room.max_concurrent == 3
    gate.open()
    await asyncio.gather(*tasks)


def test_threads_wait_their_turn():
    room = bulkhead(1, max_waiting=10)
    inside = threading.Semaphore(0)
    leave = threading.Event()
    peak, now, lock = [], [], threading.Lock()

    def work():
        with lock:
            now.append(1)
            peak.append(len(now))
        inside.release()
        leave.wait()
        with lock:
            now.pop()

    threads = [threading.Thread(target=room.call_sync, args=(work,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    inside.acquire()
    leave.set()
    for thread in threads:
        thread.join()
    assert max(peak) == 1
    assert (room.in_flight, room.waiting) == (0, 0)


def test_a_place_promised_to_a_loop_that_has_gone_goes_to_the_next():
    room = bulkhead(1, max_waiting=5)
    room._machine.try_acquire()
    loop = asyncio.new_event_loop()

    async def queue_up():
        task = asyncio.create_task(room.call(Gate()))
        await settle()
        return task

    task = loop.run_until_complete(queue_up())
    assert room.waiting == 1
    loop.close()
    room._serve(room._machine.release())
    assert (room.in_flight, room.waiting) == (0, 0)
    task._log_destroy_pending = False


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_concurrent": 0}, ValueError),
        ({"max_concurrent": 1.5}, TypeError),
        ({"max_concurrent": 1, "max_waiting": -1}, ValueError),
        ({"max_concurrent": 1, "max_wait": 0}, ValueError),
        ({"max_concurrent": 1, "name": 3}, TypeError),
    ],
)
def test_settings_out_of_range_name_the_argument(settings, error):
    with pytest.raises(error, match=list(settings)[-1]):
        bulkhead(**settings)
