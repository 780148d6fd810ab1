"""What circuit breakers and retries tell their listeners.

Events are immutable and delivered before the call that caused them returns.
"""

from dataclasses import dataclass

from resilience._types import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a policy.

    Attributes:
        name: the policy's name.
        timestamp: UNIX seconds.
    """

    name: str
    timestamp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Event):
    """The breaker went from one state to another.

    Attributes:
        old: the state it left.
        new: the state it entered.
        reason: what an operator gave as reason, ``None`` for its own decisions.
    """

    old: State
    new: State
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSucceeded(Event):
    """An admitted call succeeded.

    Attributes:
        duration: seconds that it took.
    """

    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(Event):
    """An admitted call failed.

    Attributes:
        duration: seconds that it took.
        error: what it raised; ``None`` when its result was the failure.
    """

    duration: float
    error: BaseException | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIgnored(Event):
    """An admitted call ended without a verdict: cancelled, or with an error that doesn't count."""

    duration: float
    error: BaseException | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRejected(Event):
    """A call was not let through.

    Attributes:
        retry_after: seconds after which one may be, ``None`` when nobody knows.
    """

    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowCall(Event):
    """A call took at least ``slow_call_duration``; comes beside the event of its outcome.

    Attributes:
        duration: seconds that it took.
    """

    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Event):
    """Somebody reset the breaker by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(Event):
    """An attempt failed and will be made again.

    Attributes:
        attempt: number of the attempt that failed, from 1.
        error: what it raised.
        wait: seconds until the next one.
    """

    attempt: int
    error: BaseException
    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetriesStopped(Event):
    """A call failed for good, with an error that would have been retried.

    Attributes:
        attempts: attempts that the call made.
        error: what the last one raised, and the call with it.
        reason: ``"attempts"``, ``"budget"`` or ``"deadline"``: what was used up.
    """

    attempts: int
    error: BaseException
    reason: str
