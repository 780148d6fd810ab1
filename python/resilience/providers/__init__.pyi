# What type checkers and editors read: the public names and where they are defined.

from resilience.providers._llm.errors import (
    AnswerTooLargeError as AnswerTooLargeError,
    BadCredentialsError as BadCredentialsError,
    BadRequestError as BadRequestError,
    BudgetExceededError as BudgetExceededError,
    MalformedAnswerError as MalformedAnswerError,
    ProviderConnectionError as ProviderConnectionError,
    ProviderError as ProviderError,
    ProviderStatusError as ProviderStatusError,
    StreamInterruptedError as StreamInterruptedError,
    UnknownModelError as UnknownModelError,
    UnpricedModelError as UnpricedModelError,
    UnsupportedRequestError as UnsupportedRequestError,
)
from resilience.providers._llm.ledger import (
    Budget as Budget,
)
from resilience.providers._llm.provider import (
    Provider as Provider,
)
from resilience.providers._llm.router import (
    LLMRouter as LLMRouter,
)
from resilience.providers._llm.types import (
    Completion as Completion,
    Embeddings as Embeddings,
    Price as Price,
    StreamEvent as StreamEvent,
    Usage as Usage,
)
