# What type checkers and editors read: the public names and where they are defined.

from resilience._adaptive_limit import (
    AdaptiveLimit as AdaptiveLimit,
    adaptive_limit as adaptive_limit,
)
from resilience._batched import (
    batch_requests as batch_requests,
    batched as batched,
    embedding_batcher as embedding_batcher,
    llm_batcher as llm_batcher,
)
from resilience._batcher import RequestBatcher as RequestBatcher
from resilience._bulkhead import (
    Bulkhead as Bulkhead,
    bulkhead as bulkhead,
)
from resilience._cache import (
    Cache as Cache,
    RedisCache as RedisCache,
    TieredCache as TieredCache,
    cache as cache,
)
from resilience._circuit_breaker import CircuitBreaker as CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig as CircuitBreakerConfig
from resilience._core import Clock as Clock
from resilience._deadline import (
    Timeouts as Timeouts,
    deadline as deadline,
    deadline_headers as deadline_headers,
    remaining as remaining,
)
from resilience._fallback import (
    Fallback as Fallback,
    fallback as fallback,
)
from resilience._guard import (
    ProtectedFunction as ProtectedFunction,
    protected_functions as protected_functions,
)
from resilience._health_check import HealthCheck as HealthCheck
from resilience._health_probe import HealthProbe as HealthProbe
from resilience._hedge import (
    Hedge as Hedge,
    hedge as hedge,
)
from resilience._keyed_circuit_breaker import KeyedCircuitBreaker as KeyedCircuitBreaker
from resilience._loop_lag import LoopLag as LoopLag
from resilience._named import (
    get_pipeline as get_pipeline,
)
from resilience._pipeline import (
    Pipeline as Pipeline,
)
from resilience._priority import priority as priority
from resilience._rate_limit import (
    RateLimit as RateLimit,
    rate_limit as rate_limit,
)
from resilience._registry import (
    get_all_circuit_breakers as get_all_circuit_breakers,
    get_circuit_breaker as get_circuit_breaker,
    remove_circuit_breaker as remove_circuit_breaker,
)
from resilience._retry import (
    Retry as Retry,
    RetryBudget as RetryBudget,
    retry as retry,
)
from resilience._timeout import (
    Timeout as Timeout,
    timeout as timeout,
)
from resilience._types import State as State
from resilience.allocator import (
    PredictiveResourceAllocator as PredictiveResourceAllocator,
    resource_allocator as resource_allocator,
)
from resilience.config import configure as configure, reload as reload
from resilience.errors import (
    AllProvidersFailedError as AllProvidersFailedError,
    BatcherClosedError as BatcherClosedError,
    BatchError as BatchError,
    BatchQueueFullError as BatchQueueFullError,
    BulkheadFullError as BulkheadFullError,
    CacheRecursionError as CacheRecursionError,
    CallTimeoutError as CallTimeoutError,
    CircuitOpenError as CircuitOpenError,
    ConfigError as ConfigError,
    RateLimitedError as RateLimitedError,
    RejectedError as RejectedError,
    ResilienceError as ResilienceError,
    RetryBudgetExhaustedError as RetryBudgetExhaustedError,
)
from resilience.events import (
    CallFailed as CallFailed,
    CallIgnored as CallIgnored,
    CallRejected as CallRejected,
    CallSucceeded as CallSucceeded,
    Reset as Reset,
    RetriesStopped as RetriesStopped,
    RetryScheduled as RetryScheduled,
    SlowCall as SlowCall,
    StateChanged as StateChanged,
)

__version__: str
