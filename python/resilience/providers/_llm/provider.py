"""How a provider is described: checked whole when it is made, so that no call finds a mistake in it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from resilience._checks import number, seconds, text, whole
from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience._deadline import Timeouts
from resilience._types import type_name
from resilience.providers._llm.clients import Client, ClientSettings
from resilience.providers._llm.kinds import KINDS, Kind, auth_headers
from resilience.providers._llm.types import Price

_LARGEST_BODY = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider of a router.

    Args:
        kind: ``"openai"``, ``"anthropic"``, ``"google"``, ``"groq"``, ``"azure"``, ``"huggingface"``, ``"ollama"``,
            ``"openai_compatible"``, or ``"custom"`` for a `client` of one's own.
        model: what it is asked for by default, as it names it; the deployment on Azure.
        name: in errors, statistics and as ``llm.<name>`` its breaker's and its timeout's; by default the kind.
        models: names that callers may ask for, each with the provider's own name for it.
        embedding_model: for embeddings; `model` unless given.
        api_key: by default read from the environment, as ``OPENAI_API_KEY``.
        base_url: by default the provider's own; needed for azure and openai_compatible.
        api_version: of Azure's and Google's addresses.
        headers: sent with each request.
        via: ``"sdk"`` for the official library, which an extra brings, or ``"http"``; by default the library where
            there is one.
        client: of one's own, for the kind ``"custom"``; it speaks the dialect of chat completions.
        priority: any integer; lower ones are asked first.
        weight: > 0; among equal priorities, how often it is asked first.
        prices: dollars a million tokens, one `Price` for all its models or one for each by the provider's name.
        rpm: requests a minute, > 0; ``None`` for no limit of ours.
        tpm: tokens a minute, >= 1; ``None`` for no limit of ours.
        timeout: seconds for a whole answer; by default ``Timeouts.get("llm.<name>")``, else the kind's.
        first_token_timeout: seconds for the first piece of a stream; by default `timeout`.
        idle_timeout: seconds between pieces of a stream.
        stream_timeout: seconds for a whole stream.
        max_concurrent: calls under way at once, >= 1.
        max_response_bytes: of an answer, decompressed; in [1024, 1073741824].
        breaker: settings of its circuit breaker; by default the kind's.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for one out of its range, or one that is missing.
        ImportError: when a router is made of it and its library is missing, naming the extra.
    """

    kind: str
    model: str
    name: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    embedding_model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    api_version: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    via: str | None = None
    client: Client | None = None
    priority: int = 0
    weight: float = 1.0
    prices: Price | Mapping[str, Price] | None = None
    rpm: float | None = None
    tpm: int | None = None
    timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    stream_timeout: float = 600.0
    max_concurrent: int = 100
    max_response_bytes: int = 16 * 2**20
    breaker: CircuitBreakerConfig | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.name:
            object.__setattr__(self, "name", self.kind)
        self._check_names()
        self._check_numbers()
        self._check_place()
        if self.breaker is not None and not isinstance(self.breaker, CircuitBreakerConfig):
            raise TypeError(f"breaker must be a CircuitBreakerConfig or None, got {type_name(self.breaker)}")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make one of plain settings, as a configuration file holds them.

        Raises:
            TypeError: for an unknown setting or one of the wrong type.
            ValueError: for a value out of its range.
        """
        given = dict(settings)
        if isinstance(given.get("breaker"), Mapping):
            given["breaker"] = CircuitBreakerConfig.from_mapping(given["breaker"])
        prices = given.get("prices")
        if isinstance(prices, Mapping):
            one = set(prices) <= {"input", "output"}
            given["prices"] = (
                _price(prices) if one else {model: _price(each) for model, each in prices.items()}
            )
        return cls(**given)

    # ---- what the router asks for ----

    def model_for(self, asked: str | None) -> str:
        """Its own name for the model that a caller asks for."""
        return self.model if asked is None else self.models.get(asked, asked)

    def serves(self, asked: str | None) -> bool:
        """Whether it says of itself that it has this model."""
        return asked is None or asked == self.model or asked in self.models

    def price_of(self, model: str) -> Price | None:
        """What a model costs, if somebody said."""
        return (
            self.prices if isinstance(self.prices, Price) or self.prices is None else self.prices.get(model)
        )

    @property
    def defaults(self) -> Kind:
        """What its kind is given unless told otherwise."""
        return KINDS[self.kind]

    @property
    def whole_timeout(self) -> float:
        """Seconds for a whole answer."""
        if self.timeout is not None:
            return self.timeout
        name = f"llm.{self.name}"
        named = any(key in {name, "llm"} for key in Timeouts.table())
        return Timeouts.get(name) if named else self.defaults.timeout

    def make_client(self) -> Client:
        """Connect it to its library, or to plain HTTP.

        Raises:
            ImportError: naming the extra that is missing.
            ValueError: if there is no key.
        """
        if self.client is not None:
            return self.client
        kind = self.defaults
        by_sdk = kind.sdk is not None and self.via != "http"
        settings = ClientSettings(
            provider=self.name,
            api_key=self._key(kind),
            base_url=self.base_url or kind.base_url,
            headers=self.headers,
            api_version=self.api_version or kind.api_version,
            extra=kind.extra,
            max_response_bytes=self.max_response_bytes,
        )
        if by_sdk and kind.sdk is not None:
            return kind.sdk(settings)
        from resilience.providers._llm.clients.http import HttpClient

        return HttpClient(settings, kind.dialect(), auth_headers(kind, settings.api_key))

    # ---- checks ----

    def _key(self, kind: Kind) -> str | None:
        if self.api_key is not None or kind.key_variable is None:
            return self.api_key
        found = os.environ.get(kind.key_variable)
        if not found:
            raise ValueError(
                f"api_key of provider {self.name!r} is missing: give it, or set {kind.key_variable}"
            )
        return found

    def _check_names(self) -> None:
        for name in ("name", "model"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} must be a string that isn't empty, got {value!r}")
        for name in ("models", "headers"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) or not all(
                isinstance(each, str) for pair in value.items() for each in pair
            ):
                raise TypeError(f"{name} must be a mapping of strings to strings")
        if self.api_key is not None and not text("api_key", self.api_key):
            raise ValueError("api_key must be a string that isn't empty, or None")
        prices = self.prices
        listed = prices.values() if isinstance(prices, Mapping) else [prices]
        if not all(price is None or isinstance(price, Price) for price in listed):
            raise TypeError("prices must be a Price, a mapping of models to Price, or None")

    def _check_numbers(self) -> None:
        whole("priority", self.priority)
        for name in ("weight", "rpm", "tpm"):
            value = getattr(self, name)
            if value is not None and not 0.0 < number(name, value) <= 1e9:  # noqa: PLR2004 - as the message says
                raise ValueError(f"{name} must be a number in (0, 1e9], got {value!r}")
        for name in ("timeout", "first_token_timeout", "idle_timeout", "stream_timeout"):
            value = getattr(self, name)
            if value is not None:
                seconds(name, value)
        if not 1 <= whole("max_concurrent", self.max_concurrent) <= 100_000:  # noqa: PLR2004 - as the message says
            raise ValueError(f"max_concurrent must be an integer in [1, 100000], got {self.max_concurrent}")
        if not 1024 <= whole("max_response_bytes", self.max_response_bytes) <= _LARGEST_BODY:  # noqa: PLR2004
            raise ValueError(
                f"max_response_bytes must be in [1024, {_LARGEST_BODY}], got {self.max_response_bytes}"
            )

    def _check_place(self) -> None:
        kind = self.defaults
        if (self.client is not None) != (self.kind == "custom"):
            raise ValueError("client must be given for the kind 'custom', and for no other")
        if self.via not in {None, "sdk", "http"} or (self.via == "sdk" and kind.sdk is None):
            raise ValueError(
                f"via must be 'http', or 'sdk' where there is an official library, got {self.via!r}"
            )
        url = self.base_url or kind.base_url
        if self.client is None and not url.startswith(("http://", "https://")):
            raise ValueError(f"base_url of {self.kind} must be an http or https URL, got {self.base_url!r}")


def _price(settings: Any) -> Price:
    if isinstance(settings, Price):
        return settings
    if not isinstance(settings, Mapping):
        raise TypeError(f"prices must be mappings with 'input' and 'output', got {type_name(settings)}")
    return Price(**settings)
