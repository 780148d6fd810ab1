"""The kinds of providers there are, and what each is given unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from resilience._circuit_breaker_config import CircuitBreakerConfig
from resilience.providers._llm.clients import Client, ClientSettings
from resilience.providers._llm.dialects import Dialect


@dataclass(frozen=True, slots=True)
class Kind:
    """Defaults of one kind of provider; durations in seconds.

    Attributes:
        dialect: makes what it speaks.
        sdk: makes its official client; ``None`` where there is none.
        extra: of this package, that brings the official library.
        base_url: where it is; empty where only the user knows.
        key_variable: environment variable with its key; ``None`` where none is needed.
        auth: the header that carries the key, for plain HTTP.
        api_version: part of its addresses.
        breaker: settings of its circuit breaker.
        timeout: for a whole answer, and for the first token of a stream.
        idle_timeout: between the pieces of a stream.
    """

    dialect: Callable[[], Dialect]
    sdk: Callable[[ClientSettings], Client] | None
    extra: str
    base_url: str
    key_variable: str | None
    auth: str
    breaker: CircuitBreakerConfig
    timeout: float
    idle_timeout: float = 20.0
    api_version: str = ""


def _breaker(failures: int, recovery: float, rate: float | None = None) -> CircuitBreakerConfig:
    return CircuitBreakerConfig(
        failure_threshold=failures, recovery_timeout=recovery, failure_rate_threshold=rate
    )


def _dialect(module: str, name: str, **settings: Any) -> Callable[[], Dialect]:
    def make() -> Dialect:
        made: Dialect = _load(f"dialects.{module}", name)(**settings)
        return made

    return make


def _sdk(module: str, name: str) -> Callable[[ClientSettings], Client]:
    def make(settings: ClientSettings) -> Client:
        made: Client = _load(f"clients.{module}", name)(settings)
        return made

    return make


def _load(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"resilience.providers._llm.{module}"), name)


_CHAT = _dialect("chat", "ChatDialect")

KINDS: Final[dict[str, Kind]] = {
    "openai": Kind(
        dialect=_dialect("chat", "ChatDialect", max_tokens_key="max_completion_tokens"),
        sdk=_sdk("openai_sdk", "make_openai"),
        extra="llm-openai",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        auth="authorization",
        breaker=_breaker(2, 60.0, 0.3),
        timeout=30.0,
    ),
    "anthropic": Kind(
        dialect=_dialect("messages", "MessagesDialect"),
        sdk=_sdk("anthropic_sdk", "AnthropicClient"),
        extra="llm-anthropic",
        base_url="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY",
        auth="x-api-key",
        breaker=_breaker(2, 60.0, 0.3),
        timeout=45.0,
        api_version="2023-06-01",
    ),
    "google": Kind(
        dialect=_dialect("gemini", "GeminiDialect"),
        sdk=_sdk("google_sdk", "GoogleClient"),
        extra="llm-google",
        base_url="https://generativelanguage.googleapis.com",
        key_variable="GEMINI_API_KEY",
        auth="x-goog-api-key",
        breaker=_breaker(3, 60.0),
        timeout=35.0,
        api_version="v1beta",
    ),
    "groq": Kind(
        dialect=_CHAT,
        sdk=_sdk("openai_sdk", "make_groq"),
        extra="llm-groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        auth="authorization",
        breaker=_breaker(3, 30.0, 0.3),
        timeout=20.0,
        idle_timeout=10.0,
    ),
    "azure": Kind(
        dialect=_dialect("chat", "AzureDialect", max_tokens_key="max_completion_tokens"),
        sdk=_sdk("openai_sdk", "make_azure"),
        extra="llm-openai",
        base_url="",
        key_variable="AZURE_OPENAI_API_KEY",
        auth="api-key",
        breaker=_breaker(2, 60.0, 0.3),
        timeout=30.0,
        api_version="2024-10-21",
    ),
    "huggingface": Kind(
        dialect=_dialect("chat", "HuggingFaceDialect"),
        sdk=_sdk("huggingface_sdk", "HuggingFaceClient"),
        extra="llm-huggingface",
        base_url="https://router.huggingface.co/v1",
        key_variable="HF_TOKEN",
        auth="authorization",
        breaker=_breaker(3, 60.0),
        timeout=60.0,
    ),
    "ollama": Kind(
        dialect=_dialect("ollama", "OllamaDialect"),
        sdk=_sdk("ollama_sdk", "OllamaClient"),
        extra="llm-ollama",
        base_url="http://127.0.0.1:11434",
        key_variable=None,
        auth="authorization",
        breaker=_breaker(3, 30.0),
        timeout=120.0,
        idle_timeout=60.0,
    ),
    "openai_compatible": Kind(
        dialect=_CHAT,
        sdk=None,
        extra="http",
        base_url="",
        key_variable=None,
        auth="authorization",
        breaker=_breaker(3, 30.0, 0.3),
        timeout=30.0,
    ),
    "custom": Kind(
        dialect=_CHAT,
        sdk=None,
        extra="",
        base_url="",
        key_variable=None,
        auth="",
        breaker=_breaker(3, 30.0, 0.3),
        timeout=30.0,
    ),
}


def auth_headers(kind: Kind, api_key: str | None) -> dict[str, str]:
    """What carries the key over plain HTTP."""
    if kind.auth == "x-api-key":  # Anthropic names its version in a header too
        version = {"anthropic-version": kind.api_version}
        return version if api_key is None else {**version, kind.auth: api_key}
    if api_key is None:
        return {}
    return {kind.auth: f"Bearer {api_key}" if kind.auth == "authorization" else api_key}
