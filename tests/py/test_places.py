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


class ResizedWhenRead:
    """A limit's machine, whose limits another thread changes just after anybody has read one."""

    def __init__(self, limit):
        self._limit, self._machine = limit, limit._machine
        self.changes = 0

    def __getattr__(self, name):
        found = getattr(self._machine, name)
        if name in {"max_concurrent", "max_waiting", "least", "most"}:
            self.changes += 1
            most = 10 + self.changes
            if self._limit._kind == "bulkhead":
                self._limit.resize(most, max_waiting=most)
            else:
                self._limit.resize(min=1, max=most)
        return found

    @property
    def bounds(self):
        if self._limit._kind == "bulkhead":
            return self._machine.max_concurrent, self._machine.max_waiting
        return self._machine.least, self._machine.most


def test_who_queues_up_leaves_alone_what_another_thread_makes_of_the_limits(limit):
    give_back(limit)()
    limit._machine = machine = ResizedWhenRead(limit)
    before = machine.bounds
    limit._admit()
    most = 10 + machine.changes
    changed = (most, most) if limit._kind == "bulkhead" else (1, most)
    assert machine.bounds == (changed if machine.changes else before)


def test_a_resize_of_one_limit_leaves_alone_what_another_thread_makes_of_the_other(limit):
    limit._machine = machine = ResizedWhenRead(limit)
    if limit._kind == "bulkhead":
        limit.resize(4)
        assert machine.bounds == (4, 10 + machine.changes if machine.changes else 9)
    else:
        limit.resize(min=1)
        assert machine.bounds == (1, 10 + machine.changes if machine.changes else 1)
