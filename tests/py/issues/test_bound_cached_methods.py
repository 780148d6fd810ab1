"""A cached method read from an instance showed its own class's docstring, and copying it recursed for ever."""

import copy
import inspect
import pickle

from resilience import cache


class Service:
    @cache
    def load(self, key):
        """Load a key."""
        return object()

    @cache
    async def load_async(self, key):
        """Load a key."""
        return object()


SERVICE = Service()


def test_it_looks_like_the_method():
    for bound in (SERVICE.load, SERVICE.load_async):
        assert inspect.getdoc(bound) == "Load a key."
        assert str(inspect.signature(bound)) == "(key)"
    assert inspect.iscoroutinefunction(SERVICE.load_async)
    assert not inspect.iscoroutinefunction(SERVICE.load)


def test_it_copies_and_pickles_as_a_method_does():
    assert copy.copy(SERVICE.load) == SERVICE.load
    again = pickle.loads(pickle.dumps(SERVICE.load))
    assert isinstance(again.__self__, Service)
    assert again.__func__ is SERVICE.load.__func__
    twin = copy.deepcopy(SERVICE.load)
    assert twin.__self__ is not SERVICE
    assert twin(1) is twin.__self__.load(1)
