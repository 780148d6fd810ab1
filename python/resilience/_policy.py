"""What every policy but the circuit breaker has in common: it guards functions, alone or in a pipeline."""

# ruff: noqa: SLF001 - the policies of a pipeline know each other

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from resilience import _core
from resilience._attempts import Attempts
from resilience._checks import clock_or_none, label_or_none
from resilience._core import Clock
from resilience._guard import Kind, check_fallback, kind_of, protect
from resilience._waiting import SYSTEM_CLOCK

if TYPE_CHECKING:
    from resilience._adaptive_limit import AdaptiveLimit
    from resilience._bulkhead import Bulkhead
    from resilience._circuit_breaker import CircuitBreaker
    from resilience._fallback import Fallback
    from resilience._hedge import Hedge
    from resilience._rate_limit import RateLimit
    from resilience._retry import Retry
    from resilience._timeout import Timeout

F = TypeVar("F", bound=Callable[..., Any])


class Members(NamedTuple):
    """The policies of a pipeline, outermost first."""

    fallback: "Fallback | None" = None
    total_timeout: "Timeout | None" = None
    retry: "Retry | None" = None
    hedge: "Hedge | None" = None
    circuit_breaker: "CircuitBreaker | None" = None
    rate_limit: "RateLimit | None" = None
    bulkhead: "Bulkhead | None" = None
    adaptive_limit: "AdaptiveLimit | None" = None
    timeout: "Timeout | None" = None

    def of_attempt(self) -> "Members":
        """Those that each attempt passes."""
        return self._replace(fallback=None, total_timeout=None, retry=None, hedge=None)

    def check_kind(self, kind: Kind) -> None:
        """Raise ``TypeError`` when they can't guard functions of this kind."""
        if kind in {Kind.PLAIN, Kind.GENERATOR}:
            for name in ("total_timeout", "hedge", "timeout"):
                if getattr(self, name) is not None:
                    raise TypeError(f"{name} needs an async function: a plain one can't be interrupted")
        if self.fallback is not None:
            check_fallback(self.fallback._answer, kind)
        if self.circuit_breaker is not None:
            check_fallback(self.circuit_breaker.config.fallback, kind)
        if kind is Kind.ASYNC_GENERATOR and self.hedge is not None:
            raise TypeError("hedge needs a coroutine function: a stream can't be sent twice")
        if kind is Kind.COROUTINE and self.timeout is not None and self.timeout.only_streams:
            raise TypeError(
                "timeout with first_item or idle alone needs an async generator; coroutines take seconds"
            )


def _async_stream(*call: Any) -> Any:
    from resilience._policy_streams import guarded_async_stream  # it is made of policies itself

    return guarded_async_stream(*call)


def _stream(*call: Any) -> Any:
    from resilience._policy_streams import guarded_stream  # as above

    return guarded_stream(*call)


class Policy(_core.PolicyGuard):
    """A policy as a decorator, with ``call`` and ``call_sync``; its state is shared by all that it guards."""

    _kind = "policy"  # its name when it is given none
    _streams: ClassVar[dict[Kind, Callable[..., Any]]] = {
        Kind.ASYNC_GENERATOR: _async_stream,
        Kind.GENERATOR: _stream,
    }

    def __init__(self, *, name: str | None = None, clock: Clock | None = None) -> None:
        label_or_none("name", name)
        clock_or_none(clock)
        self._name = self._kind if name is None else name
        self._clock: Clock = SYSTEM_CLOCK if clock is None else clock
        self._members = Members()

    @property
    def name(self) -> str:
        """Shown in errors, events and metrics."""
        return self._name

    @property
    def breaker_name(self) -> str | None:
        """Name of the circuit breaker in it, if there is one."""
        breaker = self._members.circuit_breaker
        return None if breaker is None else breaker.name

    def __call__(self, function: F, /) -> F:
        """Put a function under the policy; its kind and signature stay.

        Raises:
            TypeError: if the policy can't guard functions of this kind.
        """
        if not isinstance(function, (staticmethod, classmethod)):
            self._members.check_kind(kind_of(function))
        wrapped: F = protect(self, function)
        return wrapped

    def _compile(self, **members: Any) -> None:
        """Take these policies from the next call on."""
        given = Members(**members)
        attempts = None
        if given.retry is not None or given.hedge is not None:
            attempt = Policy(name=self._name, clock=self._clock)
            attempt._compile(**given.of_attempt()._asdict())
            attempts = Attempts(attempt, given.retry, given.hedge, self._clock)
        self._set_layer({**given._asdict(), "attempts": attempts})
        self._members = given
