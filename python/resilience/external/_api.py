"""A guarded external API: breaker, limits, timeout, cache and probe around the requests of a catalogue's entry."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from types import TracebackType
from typing import Any, Self

from resilience._bulkhead import Bulkhead
from resilience._cache import Cache, cache
from resilience._circuit_breaker import CircuitBreaker
from resilience._core import Clock
from resilience._health_check import HealthCheck
from resilience._health_probe import HealthProbe
from resilience._pipeline import Pipeline
from resilience._rate_limit import RateLimit
from resilience._retry_after import from_headers
from resilience._types import type_name
from resilience._waiting import SYSTEM_CLOCK
from resilience.errors import ResilienceError
from resilience.external._catalogue import packaged_catalogue
from resilience.external._errors import ApiStatusError, MalformedAnswerError
from resilience.external._identity import Identity
from resilience.external._results import Answer
from resilience.external._spec import ApiSpec, Operation, Probe, check_base_url
from resilience.external._template import Call
from resilience.external._transfer import Received, Transfer
from resilience.external._values import RefusedError, ShapeError

_LOOKED_AT = 16 * 1024  # bytes of a refusal
_PARSED_IN_THREAD = 64 * 1024  # bytes from which on parsing would hold the event loop up
_PROBE_BYTES = 64 * 1024
_TOO_MANY = 429
_LONGEST_OPEN = 300.0  # seconds, where a breaker sets no other
_BUSY = frozenset({408, _TOO_MANY})
_SERVER_ERRORS = 500
_READABLE = re.compile(r"application/(problem\+)?json|text/plain")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A parsed answer and when it came."""

    value: Any
    fetched_at: float
    size: int
    ttl: float


class ExternalApi:
    """An API of a catalogue, guarded.

    A request passes the breaker, the API's published limits and a timeout. Answers are kept as long as the catalogue
    says; while the API can't be asked (its breaker is open, it fails, or the limits are used up) the last answer is
    given, marked stale with its age. A caller's own mistakes (a status below 500 but for 408 and 429) open no breaker
    and get no stale answer. A ``Retry-After`` keeps the breaker open that long. Requests that fail aren't repeated:
    put a `retry` around them where that is wanted.

    An object belongs to the event loop of its first request; close it, or use it as a context manager.

    Args:
        name: of the API in the catalogue.
        catalogue: where it is described; the package's own when ``None``.
        base_url: instead of the catalogue's, for mirrors and tests.
        environment: where credentials are read, once; ``os.environ`` when ``None``.
        transport: an httpx transport to send by, as a `GuardedHttpxTransport`; one of its own when ``None``.
        rate_limit: instead of the catalogue's limits, for those who have paid for more.
        cache_entries: most answers that are kept.
        cache_bytes: most bytes of answers that are kept, as they came.
        probing: whether to look if the API is back while its breaker is open.
        user_agent: how requests introduce themselves.
        clock: of everything in it; the system's clock when ``None``.

    Raises:
        ValueError: for a name that the catalogue doesn't have, or an argument out of range.
        TypeError: for an argument of the wrong type.
        MissingCredentialError: when the environment lacks what the API needs.
        ImportError: when httpx isn't installed, or PyYAML for the package's catalogue.
    """

    def __init__(
        self,
        name: str,
        *,
        catalogue: Mapping[str, ApiSpec] | None = None,
        base_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        transport: Any = None,
        rate_limit: RateLimit | None = None,
        cache_entries: int = 1_000,
        cache_bytes: int = 32 * 1024 * 1024,
        probing: bool = True,
        user_agent: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        apis = packaged_catalogue() if catalogue is None else catalogue
        if name not in apis:
            raise ValueError(f"there is no API {name!r}; there are {', '.join(apis)}")
        if rate_limit is not None and not isinstance(rate_limit, RateLimit):
            raise TypeError(f"rate_limit must be made by rate_limit(), got {type_name(rate_limit)}")
        self._spec = spec = apis[name]
        if base_url is not None:
            check_base_url(base_url, spec.credentials)
        self._base_url = (base_url or spec.base_url).rstrip("/")
        self._clock = clock or SYSTEM_CLOCK
        self._identity = Identity(spec, environment, user_agent)
        self._transfer = Transfer(name, transport, spec.timeout, spec.max_body_bytes)
        self._set_policies(rate_limit)
        self._set_caches(cache_entries, cache_bytes)
        self._answers: Counter[str] = Counter()
        self._quota_spent = False
        self._stop_probing = self._add_probe(spec.probe) if probing and spec.probe is not None else None

    def _set_policies(self, rate_limit: RateLimit | None) -> None:
        spec, title = self._spec, f"external.{self._spec.name}"
        self._breaker = CircuitBreaker.from_config(spec.breaker, title, clock=self._clock)
        quota = None
        if rate_limit is None:
            rate_limit = spec.rate_limit.policy(f"{title}.rate", self._clock) if spec.rate_limit else None
            quota = spec.quota.policy(f"{title}.quota", self._clock) if spec.quota else None
        places = Bulkhead(
            spec.concurrency,
            max_waiting=10 * spec.concurrency,
            max_wait=spec.timeout,
            name=title,
            clock=self._clock,
        )
        self._quota = quota
        self._pipeline = Pipeline(
            circuit_breaker=self._breaker,
            rate_limit=rate_limit,
            bulkhead=places,
            timeout=spec.timeout,
            name=title,
            clock=self._clock,
        )

    def _set_caches(self, entries: int, size: int) -> None:
        def weigh(key: Call, kept: _Kept) -> int:
            return kept.size + len(key.target)

        title = f"external.{self._spec.name}"
        bounds: dict[str, Any] = {
            "max_entries": entries,
            "max_bytes": size,
            "weigher": weigh,
            "clock": self._clock,
        }
        self._fresh = cache(
            ttl_of=lambda kept: kept.ttl, key=lambda call, _operation: call, name=title, **bounds
        )(self._load)
        self._last: Cache[Call, _Kept] = Cache(name=f"{title}.last", **bounds)

    def _add_probe(self, probe: Probe) -> Any:
        settings: dict[str, Any] = {
            "interval": probe.interval,
            "timeout": probe.timeout,
            "successes": probe.successes,
        }
        if not probe.path.startswith("/"):
            return self._breaker.add_health_probe(HealthProbe(url=probe.path, **settings))
        return self._breaker.add_health_probe(HealthCheck(check=self.probe, clock=self._clock, **settings))

    # ---- asking ----

    async def request(self, operation: str, /, **arguments: Any) -> Answer[Any]:
        """Ask the API, or what is kept of its answers.

        Args:
            operation: its name in the catalogue.
            **arguments: those of the operation.

        Raises:
            ValueError: for an operation that isn't there, or an argument out of range.
            TypeError: for an argument that is missing, unknown or of the wrong type.
            CircuitOpenError: while the breaker is open, where no answer is kept.
            RateLimitedError: when the API's limits are used up, likewise.
            CallTimeoutError: when the API took too long, likewise.
            ExternalApiError: for an answer that is none; its subclasses tell which way.
        """
        found = self._spec.operations.get(operation)
        if found is None:
            known = ", ".join(self._spec.operations)
            raise ValueError(f"{self.name} has no operation {operation!r}; there are {known}")
        call = Call(operation, found.template.fill(arguments))
        try:
            kept = await (self._fresh if found.ttl else self._load)(call, found)
        except ResilienceError as error:
            return self._stale(call, error)
        age = max(0.0, self._clock.now() - kept.fetched_at)
        self._answers["answered"] += 1
        return Answer(kept.value, age)

    def _stale(self, call: Call, error: ResilienceError) -> Answer[Any]:
        """The last answer instead of an error that isn't the caller's mistake."""
        is_own_mistake = isinstance(error, ApiStatusError) and error.is_own_mistake
        kept = None if is_own_mistake else self._last.get(call)
        if kept is None:
            self._answers["failed"] += 1
            raise error
        self._answers["stale"] += 1
        return Answer(kept.value, max(0.0, self._clock.now() - kept.fetched_at), stale=True, because=error)

    async def _load(self, call: Call, operation: Operation) -> _Kept:
        kept: _Kept = await self._pipeline.call(self._exchange, call, operation)
        if operation.ttl + operation.keep > 0.0:
            self._last.set(call, kept, operation.ttl + operation.keep)
        return kept

    async def _exchange(self, call: Call, operation: Operation) -> _Kept:
        if self._quota is None:
            return await self._ask(call, operation)
        kept: _Kept = await self._quota.call(self._ask, call, operation)
        return kept

    async def _ask(self, call: Call, operation: Operation) -> _Kept:
        self._quota_spent = False
        received = await self._transfer.get(
            self._base_url + self._identity.target(call.target), self._identity.headers
        )
        if not 200 <= received.status < 300:  # noqa: PLR2004 - the classes of HTTP statuses
            raise self._refusal(received.status, self._detail(received), received.headers)
        value = await self._parse(operation, received)
        return _Kept(value, self._clock.now(), len(received.body), operation.ttl)

    async def _parse(self, operation: Operation, received: Received) -> Any:
        try:
            if len(received.body) < _PARSED_IN_THREAD:
                return operation.parser(received.body)
            return await asyncio.to_thread(operation.parser, received.body)
        except ShapeError as error:
            raise MalformedAnswerError(self.name, self._identity.clean(str(error))) from None
        except RefusedError as error:
            raise self._refusal(error.status, self._identity.clean(error.reason), received.headers) from None

    def _refusal(self, status: int, reason: str, headers: Any) -> ApiStatusError:
        refusal = ApiStatusError(self.name, reason, status)
        self._quota_spent = status == _TOO_MANY
        if refusal.is_own_mistake:
            return refusal
        wait = from_headers(headers, time())
        if wait:
            self._breaker.trip(wait)
            self._breaker._hold_open()  # noqa: SLF001 - it asked for this time: no probe ends it early
            wait = min(wait, self._longest_open())
        return ApiStatusError(self.name, reason, status, wait)

    def _longest_open(self) -> float:
        settings = self._breaker.config
        return settings.max_recovery_timeout or max(_LONGEST_OPEN, settings.recovery_timeout)

    def _detail(self, received: Received) -> str:
        """What the API says of its refusal, where that is for people to read."""
        if 300 <= received.status < 400:  # noqa: PLR2004 - as above
            return "redirects are not followed"
        if not _READABLE.match(received.headers.get("content-type", "")):
            return "no reason given"
        return (
            self._identity.clean(received.body[:_LOOKED_AT].decode("utf-8", "replace")) or "no reason given"
        )

    # ---- looking ----

    async def probe(self) -> bool:
        """Ask for the path of the catalogue's probe, without secrets: any answer but a server's error will do.

        A breaker that a used-up quota has opened isn't closed by this: only time fills a quota.
        """
        probe = self._spec.probe
        if probe is None or not probe.path.startswith("/") or self._quota_spent:
            return False
        url = f"{self._base_url}{probe.path}"
        received = await self._transfer.get(url, self._identity.open_headers, max_bytes=_PROBE_BYTES)
        return received.status < _SERVER_ERRORS and received.status not in _BUSY

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return self._spec.name

    @property
    def spec(self) -> ApiSpec:
        """Its entry in the catalogue."""
        return self._spec

    @property
    def breaker(self) -> CircuitBreaker:
        """Its circuit breaker, ``external.<name>`` in the registry and in configurations."""
        return self._breaker

    def stats(self) -> dict[str, Any]:
        """Return what it did, ready for JSON: requests by outcome, the breaker's and the cache's figures."""
        return {
            "name": self.name,
            "family": self._spec.family,
            "requests": {outcome: self._answers[outcome] for outcome in ("answered", "stale", "failed")},
            "circuit_breaker": self._breaker.get_stats(),
            "cache": self._fresh.stats(),
            "kept_answers": len(self._last),
        }

    def __repr__(self) -> str:
        return f"<ExternalApi {self.name!r} {self._breaker.state.value}>"

    async def close(self) -> None:
        """End probing and close the connections; may be called again."""
        if self._stop_probing is not None:
            self._stop_probing()
            self._stop_probing = None
        await self._transfer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()
