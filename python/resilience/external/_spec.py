"""What is known of an external API; an entry of a catalogue."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from resilience._checks import seconds, whole
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._rate_limit import RateLimit
from resilience.external._errors import MissingCredentialError
from resilience.external._template import Template

_LONGEST_SECRET = 4_096
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit of an API.

    Attributes:
        rate: calls.
        per: seconds.
        burst: calls at once; ``None`` for `rate`.
        max_wait: seconds a call may wait for its turn.
        published: whether the API says so itself; otherwise it publishes none, and this is our courtesy.
    """

    rate: float
    per: float = 1.0
    burst: float | None = None
    max_wait: float = 0.0
    published: bool = True

    def policy(self, name: str, clock: Any) -> RateLimit:
        """Make the policy."""
        return RateLimit(
            self.rate, self.per, burst=self.burst, max_wait=self.max_wait, name=name, clock=clock
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What an API wants to know of its caller, from the environment.

    Attributes:
        variable: of the environment.
        header: that carries it, or
        query: the parameter that does.
        prefix: before the value.
        required: whether the API works without it.
        secret: whether it must not be seen; a contact address needn't be one.
    """

    variable: str
    header: str | None = None
    query: str | None = None
    prefix: str = ""
    required: bool = True
    secret: bool = True

    def __post_init__(self) -> None:
        if (self.header is None) == (self.query is None):
            raise ValueError("a credential goes into either a header or a query parameter")

    def read(self, api: str, environment: Mapping[str, str]) -> str | None:
        """Return what is to be sent.

        Raises:
            MissingCredentialError: when the API needs it and the environment hasn't got it.
            ValueError: when it could not be sent.
        """
        value = environment.get(self.variable, "").strip()
        if not value:
            if self.required:
                raise MissingCredentialError(api, f"the environment variable {self.variable} must be set")
            return None
        if len(value) > _LONGEST_SECRET or not (value.isascii() and value.isprintable()):
            raise ValueError(f"{self.variable} must be at most {_LONGEST_SECRET} printable ASCII characters")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of request.

    Attributes:
        template: path, query and arguments.
        parser: from a body to a typed result.
        ttl: seconds that an answer is fresh; 0 for one that isn't kept.
        keep: seconds after that in which it may answer, marked stale, for an API that can't be asked.
    """

    template: Template
    parser: Callable[[bytes], Any]
    ttl: float = 0.0
    keep: float = 0.0

    def __post_init__(self) -> None:
        seconds("ttl", self.ttl, zero=True)
        seconds("keep", self.keep, zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to see that the API is back while its breaker is open.

    Attributes:
        path: below the base URL, asked without credentials (any answer that isn't a server's error will do); or a
            whole ``tcp://`` or ``http://`` address that the native engine probes.
        interval: seconds between attempts.
        timeout: seconds for an attempt.
        successes: attempts in a row.
    """

    path: str
    interval: float = 5.0
    timeout: float = 5.0
    successes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSpec:
    """An external API.

    Attributes:
        name: in the catalogue.
        base_url: where its paths begin.
        operations: by name.
        documentation: where its formats and limits are published.
        breaker: settings of its circuit breaker.
        timeout: seconds for a request.
        rate_limit: the short-term limit.
        quota: the limit over a day or the like.
        credentials: what it wants to know of its caller.
        probe: how to see that it is back.
        concurrency: requests at once.
        max_body_bytes: of an answer, unpacked.
        family: what it has its settings from, for people.

    Raises:
        ValueError: for a value out of range.
        TypeError: for one of the wrong type.
    """

    name: str
    base_url: str
    operations: Mapping[str, Operation]
    documentation: str = ""
    breaker: CircuitBreakerConfig = field(default_factory=CircuitBreakerConfig)
    timeout: float = 30.0
    rate_limit: Rate | None = None
    quota: Rate | None = None
    credentials: tuple[Credential, ...] = ()
    probe: Probe | None = None
    concurrency: int = 10
    max_body_bytes: int = 8 * _MIB
    family: str = ""

    def __post_init__(self) -> None:
        check_base_url(self.base_url, self.credentials)
        seconds("timeout", self.timeout)
        for name, value, high in (
            ("concurrency", self.concurrency, 1_000),
            ("max_body_bytes", self.max_body_bytes, 256 * _MIB),
        ):
            if not 1 <= whole(name, value) <= high:
                raise ValueError(f"{name} must be a whole number in [1, {high}], got {value}")

    def credential_values(self, environment: Mapping[str, str] | None) -> dict[Credential, str]:
        """Return those credentials that the environment has.

        Raises:
            MissingCredentialError: when a required one isn't there.
        """
        found = {
            each: each.read(self.name, os.environ if environment is None else environment)
            for each in self.credentials
        }
        return {each: value for each, value in found.items() if value is not None}


def check_base_url(url: str, credentials: tuple[Credential, ...], *, name: str = "base_url") -> None:
    """Refuse what no API begins with.

    Raises:
        ValueError: for anything but ``http(s)://host[:port][/path]``, and for secrets over plain HTTP to another
            machine.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port != 0
    except ValueError:
        raise ValueError(f"{name} must be http(s)://host[:port][/path]") from None
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain or not usable:
        raise ValueError(f"{name} must be http(s)://host[:port][/path]")
    secret = any(each.secret for each in credentials)
    if parts.scheme == "http" and secret and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{name} must be https:// for an API that takes a secret")
