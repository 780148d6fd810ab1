"""The cache decorator: what it makes of functions and methods, recursion, threads, recycled calls."""

import asyncio
import gc
import inspect
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from resilience import Cache, CacheRecursionError, cache
from support.loads import Calls, cached


async def test_it_looks_like_the_function():
    @cache
    async def f(a: int, b: int = 2) -> int:
        """Doc."""
        return a + b

    assert inspect.iscoroutinefunction(f)
    assert f.__name__ == "f"
    assert f.__doc__ == "Doc."
    assert str(inspect.signature(f)) == "(a: int, b: int = 2) -> int"
    assert isinstance(f.cache, Cache)


async def test_calling_does_nothing_until_the_first_step():
    calls = Calls()
    f = cached(calls)
    call = f(1)
    assert f.stats()["misses"] == 0
    await call
    with pytest.raises(RuntimeError, match="already awaited"):
        await call
    with pytest.warns(RuntimeWarning, match="never awaited"):
        f(1)


async def test_a_hit_is_accepted_wherever_a_coroutine_is():
    f = cached(Calls())
    value = await f(1)
    assert await asyncio.create_task(f(1)) == value
    assert await asyncio.gather(f(1), f(1)) == [value, value]
    assert await asyncio.wait_for(f(1), 1) == value
    async with asyncio.TaskGroup() as group:
        task = group.create_task(f(1))
    assert task.result() == value
    step = f(1)
    with pytest.raises(StopIteration) as end:
        step.send(None)
    assert end.value.value == value


async def test_invalidate_refresh_and_clear():
    calls = Calls()
    f = cached(calls, tags=("all", "x:{x}"))
    await f(1)
    assert f.invalidate(1)
    assert not f.invalidate(1)
    assert await f(1) == (1, 2)
    assert await f.refresh(1) == (1, 3)
    assert await f(1) == (1, 3)
    await f(2)
    assert f.cache.invalidate_tags("x:1") == 1
    assert await f(2) == (2, 4)
    assert f.cache.invalidate_tags("all") == 1


async def test_a_load_asking_for_its_own_key_is_refused():
    @cache
    async def f(x):
        return await f(x)

    with pytest.raises(CacheRecursionError):
        await asyncio.wait_for(f(1), 5)

    @cache
    async def odd(x):
        return await asyncio.gather(even(x))

    @cache
    async def even(x):
        return await odd(x)

    with pytest.raises(CacheRecursionError):
        await asyncio.wait_for(odd(1), 5)


async def test_two_loads_that_would_wait_for_each_other_are_refused():
    started = asyncio.Event()

    @cache
    async def f(x):
        if x == 2:
            started.set()
        else:
            await started.wait()
        return await f(3 - x)

    results = await asyncio.wait_for(asyncio.gather(f(1), f(2), return_exceptions=True), 5)
    assert all(isinstance(result, CacheRecursionError) for result in results)


def test_recursion_that_ends_is_fine():
    @cache
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(60) == 1_548_008_755_920
    assert fib.stats()["loads"] == 61

    @cache
    def own(x):
        return own(x)

    with pytest.raises(CacheRecursionError):
        own(1)


async def test_methods_do_not_keep_their_instance_alive():
    class Service:
        def __init__(self, name):
            self.name = name

        @cache
        async def get(self, x):
            return self.name, x

        @cache
        def plain(self, x):
            return self.name, x

        @classmethod
        @cache
        async def of_class(cls, x):
            return cls.__name__, x

        @staticmethod
        @cache
        async def static(x):
            return x

    one, two = Service("one"), Service("two")
    assert await one.get(1) == ("one", 1)
    assert await two.get(1) == ("two", 1)
    assert one.plain(1) == ("one", 1)
    assert two.plain(x=1) == ("two", 1)
    assert await Service.of_class(1) == await one.of_class(1) == ("Service", 1)
    assert await one.static(4) == 4
    assert inspect.iscoroutinefunction(one.get)
    assert list(inspect.signature(one.get).parameters) == ["x"]
    assert one.get.invalidate(1)
    assert not one.get.invalidate(1)
    assert two.get.stats()["size"] == 1
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


async def test_functions_may_share_a_cache():
    shared = Cache(10)

    @cache(backend=shared)
    async def f(x):
        return "f", x

    @cache(backend=shared)
    async def g(x):
        return "g", x

    assert await f(1) != await g(1)
    assert len(shared) == 2
    assert f.cache is shared


def test_one_load_serves_all_threads():
    started = threading.Event()
    release = threading.Event()
    loads = []

    @cache
    def f(x):
        loads.append(x)
        started.set()
        release.wait(10)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(f(1))) for _ in range(8)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(results) == 8
    assert loads == [1]
    assert len(set(map(id, results))) == 1


def test_a_load_that_ends_between_another_threads_look_and_its_own_load_serves_both():
    loads, elsewhere = [], []

    def tags(x):  # asked for after the look, before the load
        if not elsewhere:
            elsewhere.append(None)
            with ThreadPoolExecutor(1) as thread:
                elsewhere.append(thread.submit(f, x).result())
        return ()

    @cache(tags=tags)
    def f(x):
        loads.append(x)
        return object()

    assert f(1) is elsewhere[1]
    assert loads == [1]
    stats = f.stats()
    assert (stats["loads"], stats["misses"], stats["coalesced"]) == (1, 2, 1)
    assert f.refresh(1) is not elsewhere[1]


def test_a_failure_that_is_remembered_between_a_look_and_a_load_serves_both_too():
    loads, asked = [], []

    def tags(x):
        asked.append(x)
        if len(asked) == 1:
            with ThreadPoolExecutor(1) as thread, pytest.raises(KeyError):
                thread.submit(f, x).result()
        return ()

    @cache(tags=tags, negative_ttl=60)
    def f(x):
        loads.append(x)
        raise KeyError(x)

    with pytest.raises(KeyError):
        f(1)
    assert loads == [1]


@pytest.mark.parametrize(
    ("settings", "error", "names"),
    [
        ({"ttl": 0}, ValueError, "ttl"),
        ({"ttl": "x"}, TypeError, "ttl"),
        ({"max_entries": 0}, ValueError, "max_entries"),
        ({"jitter": 1.0}, ValueError, "jitter"),
        ({"jitter": -0.1}, ValueError, "jitter"),
        ({"stale_while_revalidate": -1}, ValueError, "stale_while_revalidate"),
        ({"stale_if_error": -1}, ValueError, "stale_if_error"),
        ({"negative_ttl": -1}, ValueError, "negative_ttl"),
        ({"condition": 1}, TypeError, "condition"),
        ({"key": 1}, TypeError, "key"),
        ({"tags": "red"}, TypeError, "tags"),
        ({"backend": object()}, TypeError, "backend"),
    ],
)
def test_bad_settings_are_refused_when_the_decorator_is_made(settings, error, names):
    with pytest.raises(error, match=names):
        cache(**settings)


def test_generators_and_things_that_are_no_functions_are_refused():
    async def stream():
        yield 1

    for wrong in (stream, "text"):
        with pytest.raises(TypeError):
            cache(ttl=1)(wrong)


async def test_recycled_calls_are_as_good_as_new_and_harmless_when_found():
    f = cached(Calls())
    await f(1)
    for _ in range(3):  # a call that was finalized is not used again
        with pytest.warns(RuntimeWarning, match="never awaited"):
            f(1)
    call = f(1)
    kind = type(call)
    await call
    del call
    for idle in [found for found in gc.get_objects() if type(found) is kind]:
        assert "None" in repr(idle)
        with pytest.raises(RuntimeError, match="already awaited"):
            idle.send(None)


def test_a_cycle_through_a_call_that_is_never_started_is_collected():
    class Owner:
        call = None

    async def load(_owner):
        return 1

    owner = Owner()
    owner.call = cached(load)(owner)
    reference = weakref.ref(owner)
    del owner
    with pytest.warns(RuntimeWarning, match="never awaited"):
        gc.collect()
    assert reference() is None
