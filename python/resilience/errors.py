"""What the library raises of its own accord.

An error of a wrapped function is never replaced: it reaches its caller as it was raised. All errors pickle.
Their attributes are read from ``args``, so that raising one costs no more than raising any exception.
"""

from typing import Any


class ResilienceError(Exception):
    """Base of all errors of this library."""


def _restored(cls: "type[RejectedError]", *args: Any) -> "RejectedError":
    """A rejection with these ``args``, whatever its class makes of arguments."""
    return cls.__new__(cls, *args)


class RejectedError(ResilienceError):
    """A call that was not let through; ``args`` are the name of what refused it and the time to wait.

    Args:
        name: of what refused it.
        retry_after: seconds after which a new attempt may succeed, ``None`` when nobody knows.
    """

    _reason = "is not accepting calls"

    def __init__(self, name: str = "the callee", retry_after: float | None = None) -> None:
        super().__init__(name, retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), *self.args), self.__dict__ or None

    @property
    def name(self) -> str:
        """Name of the policy that refused the call."""
        return str(self.args[0])

    @property
    def retry_after(self) -> float | None:
        """Seconds after which a new attempt may succeed, ``None`` when nobody knows."""
        value: float | None = self.args[1]
        return value

    def __str__(self) -> str:
        seconds = self.retry_after
        wait = f", retry after {seconds:.3g} s" if isinstance(seconds, (int, float)) else ""
        return f"{self.name!r} {self._reason}{wait}"


class CircuitOpenError(RejectedError):
    """A circuit breaker is open, or half-open with all its probes under way."""

    _reason = "is open"


class BulkheadFullError(RejectedError):
    """As many calls as a bulkhead allows are running and waiting."""

    _reason = "is full"


class RateLimitedError(RejectedError):
    """A rate limit is used up, or a concurrency limit reached.

    Args:
        retry_after: seconds after which a new attempt may succeed, ``None`` when nobody knows.
        name: of the limit.
    """

    _reason = "is over its rate limit"

    def __init__(self, retry_after: float | None = None, *, name: str = "the rate limit") -> None:
        super().__init__(name, retry_after)


class RetryBudgetExhaustedError(RejectedError):
    """A retry was due, but the budget that stops retry storms is spent."""

    _reason = "has spent its retry budget"


class CallTimeoutError(ResilienceError, TimeoutError):
    """A call took longer than its timeout.

    Args:
        name: what timed out.
        timeout: the limit in seconds.
    """

    def __init__(self, name: str = "the call", timeout: float | None = None) -> None:
        super().__init__(name, timeout)

    @property
    def name(self) -> str:
        """Name of what timed out."""
        return str(self.args[0])

    @property
    def timeout(self) -> float | None:
        """The limit in seconds."""
        value: float | None = self.args[1]
        return value

    def __str__(self) -> str:
        limit = "" if self.timeout is None else f" after {self.timeout:.3g} s"
        return f"{self.name!r} timed out{limit}"


class BatchError(ResilienceError):
    """A batch function broke its contract, or was cancelled."""


class BatchQueueFullError(RejectedError):
    """As many items as a batcher allows are waiting."""

    _reason = "has a full queue"


class BatcherClosedError(RejectedError):
    """The batcher was closed."""

    _reason = "is closed"


class CacheRecursionError(ResilienceError, RecursionError):
    """Loading a key asked for the same key, which would wait for itself for ever."""


class ConfigError(ResilienceError, ValueError):
    """A configuration was refused; nothing of it was applied.

    Args:
        key: dotted path of the setting.
        line: line in the file, counted from 1; ``None`` for a mapping.
        reason: what is wrong and what is allowed.
    """

    def __init__(self, key: str, line: int | None, reason: str) -> None:
        super().__init__(key, line, reason)

    @property
    def key(self) -> str:
        """Dotted path of the setting."""
        return str(self.args[0])

    @property
    def line(self) -> int | None:
        """Line in the file, counted from 1."""
        value: int | None = self.args[1]
        return value

    @property
    def reason(self) -> str:
        """What is wrong and what is allowed."""
        return str(self.args[2])

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.key}: {self.reason}"


class AllProvidersFailedError(ResilienceError):
    """No provider answered.

    Args:
        attempts: one ``(provider, error)`` pair an attempt, in order.
    """

    def __init__(self, attempts: list[tuple[str, BaseException]]) -> None:
        super().__init__(attempts)

    @property
    def attempts(self) -> list[tuple[str, Any]]:
        """One ``(provider, error)`` pair an attempt, in order."""
        return list(self.args[0])

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the first of them may answer again, ``None`` when nobody knows."""
        waits = [getattr(error, "retry_after", None) for _, error in self.attempts]
        return min((wait for wait in waits if isinstance(wait, (int, float))), default=None)

    def __str__(self) -> str:
        tried = "; ".join(f"{provider}: {type(error).__name__}: {error}" for provider, error in self.attempts)
        return f"no provider answered ({tried or 'none was available'})"
