"""What the suites of other breakers expect around calls: names, settings, listeners, registries, threads."""

import inspect
import logging
import threading

import pytest

from resilience import (
    CallFailed,
    CallRejected,
    CallSucceeded,
    CircuitBreaker,
    CircuitOpenError,
    Reset,
    State,
    StateChanged,
    get_all_circuit_breakers,
    get_circuit_breaker,
    remove_circuit_breaker,
)
from resilience.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(start=100.0)


@pytest.fixture
def breaker(clock):
    return CircuitBreaker("around", recovery_jitter=0.0, clock=clock)


def breaks():
    raise OSError("down")


def open_it(breaker):
    for _ in range(3):
        with pytest.raises(OSError, match="down"):
            breaker.call_sync(breaks)


def in_threads(count, work):
    start = threading.Barrier(count)

    def run():
        start.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- settings, names ----


def test_a_breaker_needs_no_settings_and_starts_closed():
    breaker = CircuitBreaker()
    assert breaker.state is State.CLOSED
    assert breaker.name
    assert breaker.name != CircuitBreaker().name


def test_settings_can_be_read_back():
    breaker = CircuitBreaker("read", failure_threshold=7, recovery_timeout=11.0)
    assert (breaker.config.failure_threshold, breaker.config.recovery_timeout) == (7, 11.0)


@pytest.mark.parametrize("name", [b"bytes", 3, object()])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="name must be a string"):
        CircuitBreaker(name)


@pytest.mark.parametrize("kinds", ["OSError", 3, OSError(), (OSError, "OSError")])
def test_errors_are_named_by_their_classes(kinds):
    with pytest.raises(TypeError, match="failure_on must be"):
        CircuitBreaker(failure_on=kinds)


def test_its_representation_tells_name_and_state(breaker):
    assert repr(breaker) == "<CircuitBreaker 'around' closed>"


def test_a_rejection_reads_as_a_sentence_with_name_and_wait(breaker):
    open_it(breaker)
    with pytest.raises(CircuitOpenError) as rejected:
        breaker.call_sync(breaks)
    assert str(rejected.value) == "'around' is open, retry after 30 s"


def test_decorated_functions_keep_their_name_and_nature(breaker):
    @breaker
    def plain():
        """Plainly."""

    @breaker
    async def coroutine(): ...

    @breaker
    def generator():
        yield

    @breaker
    async def async_generator():
        yield

    assert (plain.__name__, plain.__doc__, plain.__wrapped__.__name__) == ("plain", "Plainly.", "plain")
    kinds = [inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction]
    shown = [[kind(each) for kind in kinds] for each in (plain, coroutine, generator, async_generator)]
    assert shown == [[False] * 3, [True, False, False], [False, True, False], [False, False, True]]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2), {}), ((), {"a": 1}), ((1,), {"b": 2})])
async def test_arguments_arrive_as_they_were_given(breaker, args, kwargs):
    def echo(*args, **kwargs):
        return args, kwargs

    async def echo_later(*args, **kwargs):
        return args, kwargs

    assert breaker.call_sync(echo, *args, **kwargs) == (args, kwargs)
    assert await breaker.call(echo_later, *args, **kwargs) == (args, kwargs)


def test_one_decorated_function_calling_another_counts_each_call_once(breaker):
    @breaker
    def inner():
        return 1

    @breaker
    def outer():
        return inner()

    assert outer() == 1
    assert breaker.success_count == 2


def test_a_fallback_answers_with_the_calls_arguments_while_it_is_open(clock):
    breaker = CircuitBreaker(fallback=lambda *args, **kwargs: ("fallback", args, kwargs), clock=clock)
    open_it(breaker)
    ran = []
    assert breaker.call_sync(lambda *_, **__: ran.append(True), 1, b=2) == ("fallback", (1,), {"b": 2})
    assert ran == []


# ---- listeners ----


def test_listeners_hear_of_calls_and_transitions_in_order(breaker, clock):
    heard = []
    breaker.add_listener(heard.append)
    breaker.call_sync(int)
    open_it(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(int)
    clock.advance(30)
    breaker.call_sync(int)
    breaker.call_sync(int)
    breaker.reset()
    told = [
        (type(event), event.old, event.new) if isinstance(event, StateChanged) else type(event)
        for event in heard
    ]
    assert told == [
        CallSucceeded,
        CallFailed,
        CallFailed,
        CallFailed,
        (StateChanged, State.CLOSED, State.OPEN),
        CallRejected,
        (StateChanged, State.OPEN, State.HALF_OPEN),
        CallSucceeded,
        CallSucceeded,
        (StateChanged, State.HALF_OPEN, State.CLOSED),
        Reset,
    ]
    assert {event.name for event in heard} == {"around"}


def test_nothing_is_told_at_construction_and_nothing_after_removal(breaker):
    heard, others = [], []
    remove = breaker.add_listener(heard.append)
    breaker.add_listener(others.append)
    assert heard == []
    remove()
    breaker.call_sync(int)
    assert heard == []
    assert len(others) == 1


def test_transitions_are_logged_openings_as_warnings(breaker, caplog):
    with caplog.at_level(logging.INFO, logger="resilience.circuit_breaker"):
        open_it(breaker)
        breaker.reset()
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
    assert "around" in caplog.text


def test_the_failure_event_carries_the_error_itself(breaker):
    heard = []
    breaker.add_listener(heard.append)
    error = OSError("this one")

    def raise_it():
        raise error

    with pytest.raises(OSError, match="this one"):
        breaker.call_sync(raise_it)
    assert heard[0].error is error


# ---- registry ----


def test_a_registry_hands_out_one_breaker_for_a_name_whoever_asks_first():
    found = []
    in_threads(8, lambda: found.append(get_circuit_breaker("field registry")))
    try:
        assert len(found) == 8
        assert len(set(map(id, found))) == 1
        assert get_all_circuit_breakers()["field registry"] is found[0]
    finally:
        remove_circuit_breaker("field registry")


def test_a_list_of_breakers_is_a_copy():
    get_all_circuit_breakers().clear()
    breaker = get_circuit_breaker("field copy")
    get_all_circuit_breakers().clear()
    assert get_circuit_breaker("field copy") is breaker
    remove_circuit_breaker("field copy")


def test_one_name_may_have_settings_of_its_own():
    breaker = get_circuit_breaker("field own", failure_threshold=9)
    try:
        assert breaker.config.failure_threshold == 9
        with pytest.raises(ValueError, match="another configuration"):
            get_circuit_breaker("field own", failure_threshold=8)
    finally:
        remove_circuit_breaker("field own")


# ---- threads ----


def test_no_failure_of_many_threads_is_lost():
    breaker = CircuitBreaker(failure_threshold=0, failure_rate_threshold=1.0, minimum_calls=1_000_000)

    def work():
        for _ in range(500):
            with pytest.raises(OSError, match="down"):
                breaker.call_sync(breaks)

    in_threads(4, work)
    assert breaker.failure_count == 2000


def test_threads_that_fail_at_once_make_one_transition():
    breaker = CircuitBreaker(failure_threshold=4)
    changes = []
    breaker.add_listener(lambda event: changes.append(event) if isinstance(event, StateChanged) else None)
    inside = threading.Barrier(8)

    def fail_together():
        inside.wait()
        raise OSError("down")

    def work():
        with pytest.raises(OSError, match="down"):
            breaker.call_sync(fail_together)

    in_threads(8, work)
    assert [(event.old, event.new) for event in changes] == [(State.CLOSED, State.OPEN)]
    assert breaker.get_stats()["totals"]["late"] == 4


def test_threads_at_recovery_never_exceed_the_probes_allowed(clock):
    breaker = CircuitBreaker(recovery_jitter=0.0, half_open_concurrency=2, half_open_requests=2, clock=clock)
    open_it(breaker)
    clock.advance(30)
    admitted, asked = [], threading.Barrier(8)

    def work():
        block = breaker.guard()
        try:
            block.__enter__()
        except CircuitOpenError:
            block = None
        else:
            admitted.append(block)
        asked.wait()
        if block is not None:
            block.__exit__(None, None, None)

    in_threads(8, work)
    assert len(admitted) == 2
    assert breaker.state is State.CLOSED


def test_blocks_that_overlap_in_threads_keep_their_own_durations(clock):
    breaker = CircuitBreaker(slow_call_duration=5.0, clock=clock)
    long_entered, short_left = threading.Event(), threading.Event()

    def long():
        with breaker:
            long_entered.set()
            short_left.wait()

    thread = threading.Thread(target=long)
    thread.start()
    long_entered.wait()
    clock.advance(6)
    with breaker:
        pass
    short_left.set()
    thread.join()
    assert breaker.get_stats()["slow_call_count"] == 1
