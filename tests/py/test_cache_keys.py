"""Which calls of a cached function are one: keys made of arguments."""

import pytest

from resilience import cache
from support.loads import Calls, cached


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
