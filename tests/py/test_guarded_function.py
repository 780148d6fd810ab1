"""A guarded function stays what it was: its kind, signature, name, methods and pickles."""

import asyncio
import contextlib
import copy
import functools
import inspect
import pickle

import pytest

from resilience import CircuitBreaker, protected_functions
from resilience.testing import ManualClock


@pytest.fixture
def breaker():
    return CircuitBreaker("calls", clock=ManualClock(), recovery_jitter=0.0)


async def answer(value: int = 1, *rest: int, key: str = "k") -> tuple[int, tuple[int, ...], str]:
    """Give back what came."""
    await asyncio.sleep(0)
    return value, rest, key


def test_a_decorated_function_keeps_its_kind_signature_name_and_docstring(breaker):
    guarded = breaker(answer)
    assert inspect.iscoroutinefunction(guarded)
    assert inspect.signature(guarded) == inspect.signature(answer)
    assert (guarded.__name__, guarded.__qualname__, guarded.__doc__, guarded.__module__) == (
        answer.__name__, answer.__qualname__, answer.__doc__, answer.__module__,
    )  # fmt: skip
    assert guarded.__wrapped__ is answer
    assert guarded.__annotations__ == answer.__annotations__


def test_every_kind_of_function_stays_what_it_was(breaker):
    async def agen():
        yield 1

    def gen():
        yield 1

    assert inspect.isasyncgenfunction(breaker(agen))
    assert inspect.isgeneratorfunction(breaker(gen))
    assert not inspect.iscoroutinefunction(breaker(lambda: 1))
    assert inspect.iscoroutinefunction(breaker(functools.partial(answer, 2)).__wrapped__)


async def test_arguments_of_every_form_arrive(breaker):
    guarded = breaker(answer)
    assert await guarded() == (1, (), "k")
    assert await guarded(1, 2, 3, 4, 5, 6, 7, 8, 9, key="x") == (1, (2, 3, 4, 5, 6, 7, 8, 9), "x")
    assert await guarded(value=5, key="y") == (5, (), "y")
    assert await breaker.call(answer, 7, key="z") == (7, (), "z")
    with pytest.raises(TypeError, match="takes the function"):
        breaker.call()


async def test_methods_of_all_kinds_are_bound(breaker):
    class Service:
        base = 10

        @breaker
        async def method(self, x):
            return self.base + x

        @classmethod
        @breaker
        async def of_class(cls, x):
            return cls.base + x

        @staticmethod
        @breaker
        async def static(x):
            return x

        @breaker
        def plain(self, x):
            return self.base - x

    service = Service()
    assert await service.method(1) == 11
    assert await Service.method(service, 1) == 11
    assert await Service.of_class(2) == 12
    assert await Service.static(3) == 3
    assert service.plain(1) == 9
    assert inspect.iscoroutinefunction(service.method)


def test_decorated_functions_pickle_and_copy_by_name():
    import test_guarded_function as module

    assert pickle.loads(pickle.dumps(module.module_level_pickled)) is module.module_level_pickled
    assert copy.deepcopy(module.module_level_pickled) is module.module_level_pickled


@CircuitBreaker("pickled")
async def module_level_pickled():
    return 1


def test_protected_functions_are_listed_with_their_breaker():
    found = [f for f in protected_functions() if f.qualname == "module_level_pickled"]
    assert found
    assert found[0].breaker == "pickled"
    assert found[0].file == __file__


def test_only_functions_can_be_decorated(breaker):
    with pytest.raises(TypeError, match="decorates a function, got int"):
        breaker(3)


async def test_fastapi_treats_a_guarded_endpoint_as_what_it_was(breaker):
    fastapi = pytest.importorskip("fastapi", reason="the fastapi extra is not installed here")
    testclient = pytest.importorskip("fastapi.testclient", reason="the test client needs httpx")
    app = fastapi.FastAPI()
    closed = []

    @breaker
    async def dependency(q: int = 2) -> int:
        return q * 2

    @breaker
    async def resource():
        yield "open"
        closed.append(True)

    @app.get("/double")
    @breaker
    async def double(value: int = fastapi.Depends(dependency), state: str = fastapi.Depends(resource)):
        return {"value": value, "state": state}

    @app.get("/plain")
    @breaker
    def plain(x: int):
        return x

    with contextlib.closing(testclient.TestClient(app)) as client:
        assert client.get("/double?q=4").json() == {"value": 8, "state": "open"}
        assert client.get("/plain?x=3").json() == 3
        assert client.get("/plain?x=three").status_code == 422
    assert closed == [True]
