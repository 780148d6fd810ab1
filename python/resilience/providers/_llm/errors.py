"""What can go wrong with a provider, by whose fault it is; all of them pickle.

A caller's own mistakes carry a ``status_code`` below 500, which is what circuit breakers go by: they open nothing.
"""

from typing import Final

from resilience.errors import RejectedError, ResilienceError

_BUSY: Final = frozenset({408, 425, 429})  # the provider has no time, which is no mistake of the caller's


class ProviderError(ResilienceError):
    """A provider did not answer as asked; ``args`` are its name and the reason."""

    def __init__(self, provider: str, reason: str, *details: object) -> None:
        super().__init__(provider, reason, *details)

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return str(self.args[0])

    @property
    def reason(self) -> str:
        """What it said, or what is wrong with what it said."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.provider}: {self.reason}"


class ProviderConnectionError(ProviderError):
    """No connection to the provider, or it broke before an answer had come."""


class MalformedAnswerError(ProviderError):
    """The provider answered with something that is no answer in its own protocol."""


class AnswerTooLargeError(MalformedAnswerError):
    """The answer is larger than the provider's ``max_response_bytes``, decompressed; reading stopped there."""


class StreamInterruptedError(ProviderError):
    """A stream ended without the provider saying that it was complete."""


class UnsupportedRequestError(ProviderError):
    """The provider has no such service, as embeddings; nothing was sent."""

    status_code = 400


class UnpricedModelError(ProviderError):
    """A budget covers this model, but nobody said what it costs; nothing was sent."""

    status_code = 400


class ProviderStatusError(ProviderError):
    """The provider answered with an HTTP status that is no success.

    Args:
        provider: its name.
        reason: what the body said, shortened.
        status_code: the HTTP status.
        retry_after: seconds that the provider asks to stay away, if it does.
    """

    def __init__(
        self, provider: str, reason: str, status_code: int, retry_after: float | None = None
    ) -> None:
        super().__init__(provider, reason, status_code, retry_after)

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return int(str(self.args[2]))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the provider asks to stay away."""
        value = self.args[3]
        return None if value is None else float(str(value))

    @property
    def busy(self) -> bool:
        """Whether it is the provider's trouble, so that another attempt later may succeed."""
        return self.status_code in _BUSY or self.status_code >= 500  # noqa: PLR2004 - the classes of HTTP statuses

    def __str__(self) -> str:
        return f"{self.provider} answered {self.status_code}: {self.reason}"


class BadRequestError(ProviderStatusError):
    """The request itself is wrong; another provider would refuse it too."""


class BadCredentialsError(ProviderStatusError):
    """The provider does not accept the key, or the key may not do this."""


class UnknownModelError(ProviderStatusError):
    """The provider has no such model, deployment or address."""


class BudgetExceededError(RejectedError):
    """A budget is spent; ``retry_after`` is the time until it begins anew."""

    _reason = "is spent"


_CLASSES: Final[dict[int, type[ProviderStatusError]]] = {
    400: BadRequestError,
    401: BadCredentialsError,
    403: BadCredentialsError,
    404: UnknownModelError,
    405: UnknownModelError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
}
_KEY_WORDS: Final = ("api key", "api_key", "credential")
_MODEL_WORDS: Final = ("model_not_found", "unknown model", "model not found", "no such model")


def from_status(provider: str, status: int, message: str, retry_after: float | None) -> ProviderStatusError:
    """Make the error that a status stands for; a 400 says in words what it is about."""
    kind = _CLASSES.get(status, ProviderStatusError)
    if kind is BadRequestError:
        lowered = message.lower()
        if any(words in lowered for words in _KEY_WORDS):
            kind = BadCredentialsError
        elif any(words in lowered for words in _MODEL_WORDS):
            kind = UnknownModelError
    return kind(provider, message or "no reason given", status, retry_after)
