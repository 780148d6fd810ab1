"""A cached method under a property or another decorator kept its instances alive: Python told it of no class."""

import gc
import weakref

import pytest

from resilience import CircuitBreaker, cache

breaker = CircuitBreaker()


class Service:
    @property
    @cache
    def settings(self):
        return object()

    @breaker
    @cache
    def answer(self, question):
        return [question]

    @staticmethod
    @cache
    def shared(itself):
        return object()


def test_properties_and_guarded_methods_keep_nobody_alive():
    service = Service()
    assert service.settings is service.settings
    assert service.answer(1) is service.answer(question=1)
    kept = weakref.ref(service)
    del service
    gc.collect()
    assert kept() is None


def test_other_instances_have_their_own_results():
    one, other = Service(), Service()
    assert one.settings is not other.settings
    assert one.answer(1) is not other.answer(1)


@pytest.mark.parametrize("argument", ["text", 3, (1, 2)])
def test_a_static_method_has_no_instance(argument):
    assert Service.shared(argument) is Service().shared(itself=argument)
