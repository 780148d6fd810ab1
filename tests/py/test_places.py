"""Places handed from thread to thread: whoever waits is served, whatever comes between the steps of the other."""

import asyncio

import pytest

from resilience import adaptive_limit, bulkhead
from support.until import settle


@pytest.fixture(params=["bulkhead", "adaptive_limit"])
def limit(request):
    """A limit of one call, which is under way."""
    made = (
        bulkhead(1, max_waiting=9, max_wait=30.0)
        if request.param == "bulkhead"
        else adaptive_limit(initial=1, max=1, max_waiting=9, wait_interval=30.0)
    )
    assert made._machine.try_acquire()
    return made


def give_back(limit):
    """Give the place back; returns what then tells who has it now, which another thread may do much later."""
    if limit._kind == "bulkhead":
        ticket = limit._machine.release()
        return lambda: limit._serve(ticket)
    woken = limit._machine.release(limit._clock.now(), "ignored")
    return lambda: limit._wake(*woken)


def is_as_new(limit):
    return (limit.in_flight, limit.waiting, limit._turns) == (0, 0, {})


def test_a_place_given_back_just_before_a_call_queues_up_is_taken(limit, monkeypatch):
    enqueue = limit._enqueue

    def enqueue_late():
        give_back(limit)()
        return enqueue()

    monkeypatch.setattr(limit, "_enqueue", enqueue_late)
    assert limit.call_sync(int) == 0
    assert is_as_new(limit)


def test_a_call_that_is_served_before_it_begins_to_wait_does_not_wait(limit, monkeypatch):
    enqueue = limit._enqueue

    def enqueue_and_be_served():
        ticket = enqueue()
        give_back(limit)()
        return ticket

    monkeypatch.setattr(limit, "_enqueue", enqueue_and_be_served)
    assert limit.call_sync(int) == 0
    assert is_as_new(limit)


async def test_a_place_given_to_a_call_that_gives_up_before_it_is_told_goes_to_the_next(limit):
    async def answer():
        return 42

    first, second = (asyncio.create_task(limit.call(answer)) for _ in range(2))
    await settle()
    tell = give_back(limit)
    first.cancel()
    await settle()
    assert first.cancelled()
    assert not second.done()
    tell()
    assert await second == 42
    assert is_as_new(limit)
