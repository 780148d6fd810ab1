"""Helpers for testing services that use the library.

With ``pytest_plugins = ["resilience.testing"]`` in a ``conftest.py`` these fixtures are there, too: ``manual_clock``,
``resilience_disabled`` and ``resilience_registry``. (PYTEST_DONT_REWRITE: there are no assertions to rewrite here.)
"""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from resilience import _core
from resilience._core import ManualClock
from resilience._fault_injector import FaultInjector

__all__ = ["FaultInjector", "ManualClock", "disabled"]

# a class bound by pybind11 doesn't tell `inspect` how it is called
ManualClock.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("start", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0.0, annotation=float)]
)

_FIXTURES = ("manual_clock", "resilience_disabled", "resilience_registry")


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Call functions as if no policy and no cache stood before them, to test what is inside.

    ``with disabled(): ...`` holds for the whole process, all its threads and tasks, and nests. Inside, a decorated
    function is the function itself, ``policy.call`` calls what it is given, and a ``with`` block of a breaker is
    always entered and counts for nothing. Calls made before the block end as they began. Batching goes on, since a
    batched function takes other arguments than the one it decorates.
    """
    _core.bypass(on=True)
    try:
        yield
    finally:
        _core.bypass(on=False)


def __getattr__(name: str) -> Any:
    if name in _FIXTURES:
        from resilience import _fixtures  # it imports pytest, which only tests have

        return getattr(_fixtures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FIXTURES})
