# What type checkers and editors read: the public names and where they are defined.

from resilience._batched import (
    batch_requests as batch_requests,
    batched as batched,
    embedding_batcher as embedding_batcher,
    llm_batcher as llm_batcher,
)
from resilience._batcher import RequestBatcher as RequestBatcher
from resilience._cache import (
    Cache as Cache,
    RedisCache as RedisCache,
    TieredCache as TieredCache,
    cache as cache,
)
from resilience._circuit_breaker import CircuitBreaker as CircuitBreaker
from resilience._circuit_breaker_config import CircuitBreakerConfig as CircuitBreakerConfig
from resilience._core import Clock as Clock
from resilience._guard import (
    ProtectedFunction as ProtectedFunction,
    protected_functions as protected_functions,
)
from resilience._health_probe import HealthProbe as HealthProbe
from resilience._keyed_circuit_breaker import KeyedCircuitBreaker as KeyedCircuitBreaker
from resilience._loop_lag import LoopLag as LoopLag
from resilience._registry import (
    get_all_circuit_breakers as get_all_circuit_breakers,
    get_circuit_breaker as get_circuit_breaker,
    remove_circuit_breaker as remove_circuit_breaker,
)
from resilience._types import State as State
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
    SlowCall as SlowCall,
    StateChanged as StateChanged,
)

__version__: str
