"""Language models and other APIs behind one door: failover, limits, budgets and answers that are what they say.

Names are loaded on first use, and client libraries only when a provider that needs one is made, with an error that
names the extra: importing this module imports none of them. ``__init__.pyi`` says the same to type checkers.
"""

import importlib
from typing import Any

_MODULES = {
    "_llm.errors": (
        "AnswerTooLargeError",
        "BadCredentialsError",
        "BadRequestError",
        "BudgetExceededError",
        "MalformedAnswerError",
        "ProviderConnectionError",
        "ProviderError",
        "ProviderStatusError",
        "StreamInterruptedError",
        "UnknownModelError",
        "UnpricedModelError",
        "UnsupportedRequestError",
    ),
    "_llm.ledger": ("Budget",),
    "_llm.provider": ("Provider",),
    "_llm.router": ("LLMRouter",),
    "_llm.types": (
        "Completion",
        "Embeddings",
        "Price",
        "StreamEvent",
        "Usage",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - a list, only not a literal one


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
