"""Helpers for testing services that use the library.

With ``pytest_plugins = ["resilience.testing"]`` in a ``conftest.py`` these fixtures are there, too: ``manual_clock``,
``resilience_disabled`` and ``resilience_registry``. (PYTEST_DONT_REWRITE: there are no assertions to rewrite here.)
"""

import inspect
from typing import Any

from resilience._core import ManualClock
from resilience._disabled import disabled
from resilience._fault_injector import FaultInjector

__all__ = ["FaultInjector", "ManualClock", "disabled"]

# a class bound by pybind11 doesn't tell `inspect` how it is called
ManualClock.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("start", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0.0, annotation=float)]
)

_FIXTURES = ("manual_clock", "resilience_disabled", "resilience_registry")


def __getattr__(name: str) -> Any:
    if name in _FIXTURES:
        from resilience import _fixtures  # it imports pytest, which only tests have

        return getattr(_fixtures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FIXTURES})
