"""The cache decorator: keys, kinds of functions, staleness, failures, invalidation."""

import asyncio
import gc
import inspect
import random
import threading
import weakref

import pytest

from resilience import Cache, CacheRecursionError, CircuitBreaker, CircuitOpenError, cache


class Calls:
    """An async function that counts, can fail and can be held."""

    def __init__(self):
        self.count = 0
        self.error = None
        self.gate = None

    async def __call__(self, *args):
        self.count += 1
        number = self.count
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return (*args, number)


def cached(calls, **settings):
    @cache(**settings)
    async def function(x=0):
        return await calls(x)

    return function


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_key_however_the_arguments_are_given():
    calls = Calls()

    @cache
    async def f(a, b=2, *, c=3):
        return await calls(a, b, c)

    results = [await f(1), await f(1, 2), await f(1, b=2), await f(b=2, a=1), await f(a=1, c=3)]
    assert set(results) == {(1, 2, 3, 1)}
    assert calls.count == 1


async def test_equal_arguments_of_other_types_are_other_keys():
    calls = Calls()
    f = cached(calls)
    results = [await f(x) for x in (1, True, 1.0, "1", (1,), (True,), ((1.0,),), ((1,),))]
    assert len({repr(result) for result in results}) == 8
    assert calls.count == 8


async def test_variadic_and_positional_only_parameters_are_part_of_the_key():
    calls = Calls()

    @cache
    async def f(a, /, *rest, **named):
        return await calls(a, *rest, *sorted(named.items()))

    assert await f(1, 2, x=3, y=4) == await f(1, 2, y=4, x=3)
    assert await f(1, 2) != await f(1, 2, x=3)
    assert calls.count == 3


async def test_an_unhashable_argument_is_named():
    @cache
    async def f(a, b):
        return a, b

    with pytest.raises(TypeError, match=r"argument 'b' of .*f"):
        await f(1, [])

    @cache(key=lambda a, b: (a, tuple(b)))
    async def g(a, b):
        return a, tuple(b)

    assert await g(1, [2]) == (1, (2,))
    assert g.stats()["misses"] == 1


async def test_a_wrong_call_fails_as_the_function_would():
    @cache
    async def f(a):
        return a

    for wrong in (f(), f(1, 2), f(b=1), f(1, a=2)):
        with pytest.raises(TypeError):
            await wrong


async def test_ignored_arguments_are_no_part_of_the_key():
    calls = Calls()

    @cache(ignore=("session",))
    async def f(a, session):
        return await calls(a)

    assert await f(1, object()) == await f(1, session=[])
    with pytest.raises(TypeError, match="no_such"):
        cache(ignore=("no_such",))(f.__wrapped__)


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


def test_ttl_counts_from_the_end_of_the_load(clock):
    @cache(ttl=10, clock=clock)
    def f():
        clock.advance(8)
        return clock.now()

    assert f() == 8
    clock.advance(9)
    assert f() == 8
    clock.advance(1)
    assert f() == 26


async def test_jitter_spreads_expiry_below_the_ttl(clock):
    random.seed(3)
    calls = Calls()
    f = cached(calls, ttl=100, jitter=0.5, clock=clock)
    for x in range(100):
        await f(x)
    clock.advance(50)
    assert len(f.cache) == 100
    sizes = []
    for _ in range(5):
        clock.advance(10)
        sizes.append(len(f.cache))
    assert sizes == sorted(sizes, reverse=True)
    assert 60 < sizes[0] < 95
    assert sizes[-1] == 0


async def test_a_result_may_choose_its_own_ttl(clock):
    calls = Calls()
    f = cached(calls, ttl=100, ttl_of=lambda value: 1 if value[0] == "short" else None, clock=clock)
    await f("short")
    await f("long")
    clock.advance(1)
    await f("short")
    await f("long")
    assert calls.count == 3


async def test_what_is_not_to_be_kept_is_not():
    none = Calls()

    @cache(cache_none=False)
    async def nothing():
        await none()

    await nothing()
    await nothing()
    assert none.count == 2
    calls = Calls()
    f = cached(calls, condition=lambda value: value[1] > 1)
    assert [await f(), await f(), await f()] == [(0, 1), (0, 2), (0, 2)]


async def test_a_stale_value_is_served_while_one_load_renews_it(clock):
    calls = Calls()
    f = cached(calls, ttl=10, stale_while_revalidate=5, clock=clock)
    assert await f() == (0, 1)
    clock.advance(12)
    calls.gate = asyncio.Event()
    assert [await f(), await f()] == [(0, 1), (0, 1)]
    await settle()
    assert calls.count == 2
    calls.gate.set()
    await settle()
    assert await f() == (0, 2)
    assert f.stats()["stale_served"] == 2
    clock.advance(15)
    assert await f() == (0, 3), "past the window it waits for the load"


async def test_a_failed_refresh_keeps_the_stale_value(clock, caplog):
    calls = Calls()
    f = cached(calls, ttl=10, stale_while_revalidate=50, clock=clock)
    await f()
    clock.advance(10)
    calls.error = ValueError("down")
    assert await f() == (0, 1)
    await settle()
    assert await f() == (0, 1)
    await settle()
    assert "background failed" in caplog.text


async def test_a_stale_value_answers_for_a_failed_load(clock):
    calls = Calls()
    f = cached(calls, ttl=10, stale_if_error=30, clock=clock)
    await f()
    clock.advance(20)
    calls.error = ValueError("down")
    assert await f() == (0, 1)
    assert f.stats()["stale_served"] == 1
    clock.advance(20)
    with pytest.raises(ValueError, match="down"):
        await f()


async def test_a_stale_value_answers_while_the_breaker_is_open(clock):
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1_000, clock=clock)
    calls = Calls()

    @cache(ttl=10, stale_if_error=100, clock=clock)
    @breaker
    async def f():
        return await calls()

    await f()
    clock.advance(11)
    breaker.force_open()
    assert await f() == (1,)
    f.invalidate()
    with pytest.raises(CircuitOpenError):
        await f()


async def test_failures_are_not_kept_unless_asked_for(clock):
    calls = Calls()
    calls.error = ValueError("down")
    f = cached(calls)
    for _ in range(2):
        with pytest.raises(ValueError, match="down") as caught:
            await f()
        assert caught.value is calls.error, "a sole caller gets the very error"
    assert calls.count == 2
    g = cached(calls, negative_ttl=5, clock=clock)
    errors = []
    for _ in range(3):
        with pytest.raises(ValueError, match="down") as caught:
            await g()
        errors.append(caught.value)
    assert calls.count == 3
    assert len({id(error) for error in errors}) == 3
    clock.advance(5)
    calls.error = None
    assert await g() == (0, 4)


async def test_each_waiter_gets_its_own_error_and_tracebacks_do_not_grow():
    calls = Calls()
    calls.error = ValueError("down")
    f = cached(calls)
    errors = await asyncio.gather(*(f() for _ in range(50)), return_exceptions=True)
    assert calls.count == 1
    assert {str(error) for error in errors} == {"down"}
    assert len({id(error) for error in errors}) == 50

    def depth(error):
        frames = 0
        trace = error.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
        return frames

    assert max(map(depth, errors)) < 10


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


def test_a_plain_function_serves_stale_values_and_remembers_failures(clock):
    state = {"count": 0, "error": None}

    @cache(ttl=10, stale_if_error=20, negative_ttl=5, clock=clock)
    def f():
        state["count"] += 1
        if state["error"] is not None:
            raise state["error"]
        return state["count"]

    assert f() == 1
    clock.advance(15)
    state["error"] = ValueError("down")
    assert f() == 1
    clock.advance(30)
    for _ in range(2):
        with pytest.raises(ValueError, match="down"):
            f()
    assert state["count"] == 3


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
