"""Forked processes: nothing that the library owns is locked in the child, and children serve at once."""

import importlib
import os
import signal
import threading

import pytest

from resilience import CircuitBreaker, KeyedCircuitBreaker, cache, get_circuit_breaker, remove_circuit_breaker
from support.programs import run

FORKS = int(os.environ.get("RESILIENCE_FORKS", "100"))

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    # 3.12 and later warn of forks beside threads
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


FORK_UNDER_LOAD = """
    import asyncio, os, signal, sys, threading
    from resilience import CircuitBreaker, KeyedCircuitBreaker, get_all_circuit_breakers, get_circuit_breaker
    from resilience import protected_functions, remove_circuit_breaker

    forks = int(sys.argv[1])
    shared = CircuitBreaker("shared", failure_threshold=0, failure_rate_threshold=1.0)
    shared.add_listener(lambda event: None)
    keyed = KeyedCircuitBreaker(max_keys=50)
    over = threading.Event()

    @shared
    async def answer():
        await asyncio.sleep(0)

    async def use(number):
        await answer()
        shared.call_sync(int, "7")
        for key in range(number, number + 5):
            keyed.for_key(key % 80).record_success(0.01)
        name = f"made by name {number % 7}"
        get_circuit_breaker(name).record_success(0.01)
        get_all_circuit_breakers()
        shared(lambda: None)()
        shared.get_stats()

    async def load(seed):
        number = seed
        while not over.is_set():
            await use(number)
            number += 1

    def serve_in_child():
        signal.alarm(30)  # a lock that isn't free ends the child, and the test
        try:
            asyncio.run(use(os.getpid()))
            assert shared.state == "closed"
            assert len(keyed) <= 50
            assert protected_functions()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)

    threads = [threading.Thread(target=asyncio.run, args=(load(seed),)) for seed in (1, 1000, 2000)]
    for thread in threads:
        thread.start()
    bad = []
    for _ in range(forks):
        child = os.fork()
        if child == 0:
            serve_in_child()
        _, status = os.waitpid(child, 0)
        if status:
            bad.append(status)
    over.set()
    for thread in threads:
        thread.join()
    print(forks, "forks,", len(bad), "bad")
"""


def test_children_of_a_process_busy_in_every_lock_serve_at_once():
    """`RESILIENCE_FORKS` says how many; `./dev forks` asks for 1,000."""
    assert run(FORK_UNDER_LOAD, FORKS, timeout=580) == f"{FORKS} forks, 0 bad\n"


@pytest.mark.parametrize("name", ["_listing.lock", "_named._lock", "_config.plan._lock"])
def test_a_fork_waits_for_a_thread_that_is_changing_the_registry(name):
    module, _, attribute = name.rpartition(".")
    lock = getattr(importlib.import_module(f"resilience.{module}"), attribute)
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def change():
        with lock:
            inside.set()
            leave.wait()

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0 if lock.acquire(blocking=False) else 1)
        seen.append(os.waitpid(child, 0)[1])

    changing, forking = threading.Thread(target=change), threading.Thread(target=fork)
    changing.start()
    inside.wait()
    forking.start()
    assert seen == []
    leave.set()
    changing.join()
    forking.join()
    assert seen == [0]


FORK_AMID_RELOADS = """
    import os, threading
    from resilience import Timeouts, configure, get_circuit_breaker
    from resilience._config import plan

    breaker, prepare = get_circuit_breaker("forked"), plan.prepare
    applying, over = threading.Event(), threading.Event()

    def prepare_with_pauses(entries):
        def pause():
            applying.set()
            free = []
            asking = threading.Thread(target=lambda: free.append(plan._lock.acquire(blocking=False)))
            asking.start()
            asking.join()
            assert free == [False], "a fork would not wait"

        first, *others = prepare(entries)
        return [pause, first, pause, *others, pause]

    def settings(count):
        return {"circuit_breakers": {"forked": {"failure_threshold": count}}, "timeouts": {"forked": count}}

    def reload_on_and_on():
        count = 0
        while not over.is_set():
            count += 1
            configure(settings(count))

    configure(settings(1))
    plan.prepare = prepare_with_pauses
    reloading = threading.Thread(target=reload_on_and_on)
    reloading.start()
    half_applied = 0
    for _ in range(20):
        applying.clear()
        applying.wait()
        child = os.fork()
        if child == 0:
            failures, seconds = breaker.config.failure_threshold, Timeouts.get("forked")
            configure(settings(5))
            os._exit(failures != seconds)
        half_applied += os.waitpid(child, 0)[1] != 0
    over.set()
    reloading.join()
    print(half_applied)
"""


def test_a_fork_amid_a_reload_takes_all_of_it_or_nothing_into_the_child():
    assert run(FORK_AMID_RELOADS) == "0\n"


def test_state_goes_into_the_child_and_no_further():
    breaker = CircuitBreaker("forked", failure_threshold=1)
    keyed = KeyedCircuitBreaker()
    keyed.for_key("a").force_open()
    child = os.fork()
    if child == 0:
        inherited = keyed.for_key("a").state == "forced_open"
        breaker.record_failure(OSError(), 0.1)
        os._exit(0 if inherited and breaker.state == "open" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert breaker.state == "closed"


def test_a_child_loads_what_a_thread_of_its_parent_was_loading_at_the_fork(clock):
    parent, loading, leave = os.getpid(), threading.Event(), threading.Event()

    @cache(10.0, stale_while_revalidate=100.0, clock=clock)
    def load(key):
        if os.getpid() == parent and key == "slow":
            loading.set()
            leave.wait()
        return os.getpid()

    thread = threading.Thread(target=load, args=("slow",))
    thread.start()
    loading.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # who waits for the parent's thread waits for ever
        os._exit(0 if load("slow") == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    thread.join()
    assert load("slow") == parent


def test_a_batcher_that_the_parent_uses_serves_the_child_by_loops_of_its_own():
    program = """
        import asyncio, os, signal
        from resilience import RequestBatcher

        async def process(items):
            return [(os.getpid(), item) for item in items]

        batcher = RequestBatcher(2, 1, process)

        async def in_child():
            assert await batcher.add_request(1, "a") == (os.getpid(), "a")
            handed_over = await asyncio.to_thread(batcher.submit_threadsafe, 2, "b")
            assert await asyncio.wrap_future(handed_over) == (os.getpid(), "b")
            await batcher.close()
            return 0

        async def in_parent():
            await batcher.add_request(1, "a")
            child = os.fork()
            if child == 0:
                signal.alarm(30)  # who waits for the parent's loop waits for ever
                asyncio.events._set_running_loop(None)
                os._exit(asyncio.run(in_child()))
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            handed_over = await asyncio.to_thread(batcher.submit_threadsafe, 2, "b")
            assert await asyncio.wrap_future(handed_over) == (os.getpid(), "b")
            print("child ended with", status)

        asyncio.run(in_parent())
    """
    assert run(program) == "child ended with 0\n"


def test_a_call_that_was_running_at_the_fork_may_end_in_the_child():
    breaker = CircuitBreaker("forked")
    with breaker.guard() as block:
        child = os.fork()
        if child == 0:
            block.__exit__(None, None, None)
            os._exit(breaker.success_count - 1)
        assert os.waitpid(child, 0)[1] == 0
    assert breaker.success_count == 1


def test_jitter_differs_between_processes_that_open_at_once():
    program = """
        import logging, os
        from resilience import CircuitBreaker
        logging.disable()
        breaker = CircuitBreaker("forked", failure_threshold=1, recovery_jitter=0.9, recovery_timeout=1000)
        for _ in range(8):
            if os.fork() == 0:
                breaker.record_failure(OSError(), 0.1)
                os.write(1, b"%d\\n" % round(breaker.get_stats()["retry_after"]))
                os._exit(0)
        for _ in range(8):
            os.wait()
    """
    assert len(set(run(program).split())) > 4


def test_names_given_in_a_child_are_its_own():
    child = os.fork()
    if child == 0:
        get_circuit_breaker("made in a child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(KeyError):
        remove_circuit_breaker("made in a child")
