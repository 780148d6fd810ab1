"""Resilience for asyncio: circuit breakers, retries, limits, batching, caching, allocation.

Names are loaded on first use, so that a program pays for what it uses: importing the package costs next to
nothing. ``__init__.pyi`` says the same to type checkers.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "_adaptive_limit": (
        "AdaptiveLimit",
        "adaptive_limit",
    ),
    "_batched": (
        "batch_requests",
        "batched",
        "embedding_batcher",
        "llm_batcher",
    ),
    "_batcher": ("RequestBatcher",),
    "_bulkhead": (
        "Bulkhead",
        "bulkhead",
    ),
    "_cache": (
        "Cache",
        "RedisCache",
        "TieredCache",
        "cache",
    ),
    "_circuit_breaker": ("CircuitBreaker",),
    "_circuit_breaker_config": ("CircuitBreakerConfig",),
    "_core": ("Clock",),
    "_deadline": (
        "Timeouts",
        "deadline",
        "deadline_headers",
        "remaining",
    ),
    "_fallback": (
        "Fallback",
        "fallback",
    ),
    "_guard": (
        "ProtectedFunction",
        "protected_functions",
    ),
    "_health_check": ("HealthCheck",),
    "_health_probe": ("HealthProbe",),
    "_hedge": (
        "Hedge",
        "hedge",
    ),
    "_keyed_circuit_breaker": ("KeyedCircuitBreaker",),
    "_loop_lag": ("LoopLag",),
    "_named": ("get_pipeline",),
    "_pipeline": ("Pipeline",),
    "_priority": ("priority",),
    "_rate_limit": (
        "RateLimit",
        "rate_limit",
    ),
    "_registry": (
        "get_all_circuit_breakers",
        "get_circuit_breaker",
        "remove_circuit_breaker",
    ),
    "_retry": (
        "Retry",
        "RetryBudget",
        "retry",
    ),
    "_timeout": (
        "Timeout",
        "timeout",
    ),
    "_types": ("State",),
    "allocator": (
        "PredictiveResourceAllocator",
        "resource_allocator",
    ),
    "config": (
        "configure",
        "reload",
    ),
    "errors": (
        "AllProvidersFailedError",
        "BatcherClosedError",
        "BatchError",
        "BatchQueueFullError",
        "BulkheadFullError",
        "CacheRecursionError",
        "CallTimeoutError",
        "CircuitOpenError",
        "ConfigError",
        "RateLimitedError",
        "RejectedError",
        "ResilienceError",
        "RetryBudgetExhaustedError",
    ),
    "events": (
        "CallFailed",
        "CallIgnored",
        "CallRejected",
        "CallSucceeded",
        "Reset",
        "RetriesStopped",
        "RetryScheduled",
        "SlowCall",
        "StateChanged",
    ),
}
_PUBLIC_MODULES = (
    "allocator",
    "config",
    "connections",
    "dashboard",
    "errors",
    "events",
    "external",
    "fastapi",
    "observability",
    "providers",
    "testing",
)
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - a list, only not a literal one


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _PUBLIC_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PUBLIC_MODULES})
