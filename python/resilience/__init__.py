"""Resilience for asyncio: circuit breakers, retries, limits, batching, caching, allocation."""

from resilience._batched import batch_requests, batched, embedding_batcher, llm_batcher
from resilience._batcher import RequestBatcher
from resilience._circuit_breaker import CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._core import Clock
from resilience._guard import ProtectedFunction, protected_functions
from resilience._registry import get_all_circuit_breakers, get_circuit_breaker, remove_circuit_breaker
from resilience._types import State
from resilience.config import configure, reload
from resilience.errors import (
    AllProvidersFailedError,
    BatcherClosedError,
    BatchError,
    BatchQueueFullError,
    BulkheadFullError,
    CacheRecursionError,
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    RateLimitedError,
    RejectedError,
    ResilienceError,
    RetryBudgetExhaustedError,
)
from resilience.events import (
    CallFailed,
    CallIgnored,
    CallRejected,
    CallSucceeded,
    Reset,
    SlowCall,
    StateChanged,
)

__version__ = "0.1.0"
__all__ = [
    "AllProvidersFailedError",
    "BatchError",
    "BatchQueueFullError",
    "BatcherClosedError",
    "BulkheadFullError",
    "CacheRecursionError",
    "CallFailed",
    "CallIgnored",
    "CallRejected",
    "CallSucceeded",
    "CallTimeoutError",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitOpenError",
    "Clock",
    "ConfigError",
    "ProtectedFunction",
    "RateLimitedError",
    "RejectedError",
    "RequestBatcher",
    "Reset",
    "ResilienceError",
    "RetryBudgetExhaustedError",
    "SlowCall",
    "State",
    "StateChanged",
    "batch_requests",
    "batched",
    "configure",
    "embedding_batcher",
    "get_all_circuit_breakers",
    "get_circuit_breaker",
    "llm_batcher",
    "protected_functions",
    "reload",
    "remove_circuit_breaker",
]
