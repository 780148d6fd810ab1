"""Several policies around a function, at the price of one awaitable."""

from collections.abc import Mapping
from typing import Any

from resilience._adaptive_limit import AdaptiveLimit
from resilience._bulkhead import Bulkhead
from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience._fallback import Fallback
from resilience._guard import functions_under, kind_of
from resilience._hedge import Hedge
from resilience._policy import Members, Policy
from resilience._rate_limit import RateLimit
from resilience._retry import Retry
from resilience._timeout import Timeout
from resilience._types import type_name

_KINDS: dict[str, type] = {
    "fallback": Fallback,
    "total_timeout": Timeout,
    "retry": Retry,
    "hedge": Hedge,
    "circuit_breaker": CircuitBreaker,
    "rate_limit": RateLimit,
    "bulkhead": Bulkhead,
    "adaptive_limit": AdaptiveLimit,
    "timeout": Timeout,
}


class Pipeline(Policy):
    """Policies around a function, in a fixed order; a decorator with ``call`` and ``call_sync``.

    Outermost first: fallback, total timeout, retry, hedge, circuit breaker, rate limit, bulkhead, adaptive limit,
    timeout of an attempt. So each attempt and each hedge passes the breaker and the limits, and the breaker doesn't
    count what the limits inside it reject. State belongs to the policies: two pipelines with one bulkhead share it.

    Args:
        fallback: made by `fallback`.
        total_timeout: seconds for everything but the fallback, waits and further attempts included, or made by
            `timeout`.
        retry: made by `retry`.
        hedge: made by `hedge`.
        circuit_breaker: a `CircuitBreaker`.
        rate_limit: made by `rate_limit`.
        bulkhead: made by `bulkhead`.
        adaptive_limit: made by `adaptive_limit`.
        timeout: seconds for one attempt, or made by `timeout`.
        name: shown in errors and metrics.
        clock: for timeouts that are given as numbers.

    Raises:
        TypeError: if a policy is not of its kind.
        ValueError: if a number is out of range.
    """

    _kind = "pipeline"

    def __init__(
        self,
        *,
        fallback: Fallback | None = None,
        total_timeout: float | Timeout | None = None,
        retry: Retry | None = None,
        hedge: Hedge | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        rate_limit: RateLimit | None = None,
        bulkhead: Bulkhead | None = None,
        adaptive_limit: AdaptiveLimit | None = None,
        timeout: float | Timeout | None = None,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self.replace(
            fallback=fallback,
            total_timeout=total_timeout,
            retry=retry,
            hedge=hedge,
            circuit_breaker=circuit_breaker,
            rate_limit=rate_limit,
            bulkhead=bulkhead,
            adaptive_limit=adaptive_limit,
            timeout=timeout,
        )

    def replace(self, **policies: Any) -> None:
        """Put other policies in place of those named, for every function under the pipeline, at once.

        Calls under way end under the policies with which they started.

        Args:
            policies: as for the constructor; ``None`` takes one away.

        Raises:
            TypeError: if a name is unknown, a policy is not of its kind, or can't guard a function that is under the
                pipeline; nothing has changed then.
        """
        self._compile(**self._with(policies)._asdict())

    def check(self, **policies: Any) -> None:
        """Raise what `replace` would raise, and change nothing."""
        self._with(policies)

    def _with(self, policies: Mapping[str, Any]) -> Members:
        checked = {name: self._checked(name, policy) for name, policy in policies.items()}
        members = self._members._replace(**checked)
        for function in functions_under(self):
            try:
                members.check_kind(kind_of(function))
            except TypeError as error:
                raise TypeError(f"{error}, as {function!r} under this pipeline") from None
        return members

    def _checked(self, name: str, policy: Any) -> Any:
        if name not in _KINDS:
            raise TypeError(f"a pipeline has no policy {name!r}; there are {', '.join(_KINDS)}")
        kind = _KINDS[name]
        if kind is Timeout and isinstance(policy, (int, float)) and not isinstance(policy, bool):
            policy = Timeout(policy, name=self._name, clock=self._clock)
        if policy is not None and not isinstance(policy, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, got {type_name(policy)} {policy!r}")
        if name == "total_timeout" and isinstance(policy, Timeout) and policy.only_streams:
            raise TypeError("total_timeout needs seconds; first_item and idle belong to timeout")
        return policy
