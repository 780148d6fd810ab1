"""Language models and other APIs behind one door: failover, limits, budgets and answers that are what they say.

Names are loaded on first use, and client libraries only when a provider that needs one is made, with an error that
names the extra: importing this module imports none of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilience.providers._llm.errors import (
        AnswerTooLargeError,
        BadCredentialsError,
        BadRequestError,
        BudgetExceededError,
        MalformedAnswerError,
        ProviderConnectionError,
        ProviderError,
        ProviderStatusError,
        StreamInterruptedError,
        UnknownModelError,
        UnpricedModelError,
        UnsupportedRequestError,
    )
    from resilience.providers._llm.ledger import Budget
    from resilience.providers._llm.provider import Provider
    from resilience.providers._llm.router import LLMRouter
    from resilience.providers._llm.types import Completion, Embeddings, Price, StreamEvent, Usage

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

__all__ = [
    "AnswerTooLargeError",
    "BadCredentialsError",
    "BadRequestError",
    "Budget",
    "BudgetExceededError",
    "Completion",
    "Embeddings",
    "LLMRouter",
    "MalformedAnswerError",
    "Price",
    "Provider",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderStatusError",
    "StreamEvent",
    "StreamInterruptedError",
    "UnknownModelError",
    "UnpricedModelError",
    "UnsupportedRequestError",
    "Usage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
