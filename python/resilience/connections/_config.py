"""Settings of the pools."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from resilience._checks import flag

_MAX_SECONDS = 86_400.0
_MAX_CONNECTIONS = 65_535


def check_seconds(key: str, value: Any) -> float:
    """Return `value` as a float when it is a number of seconds above 0, at most a day.

    Raises:
        TypeError: when it is no number.
        ValueError: when it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{key} must be a number of seconds, got {type(value).__name__} {value!r}")
    if not math.isfinite(value) or not 0 < value <= _MAX_SECONDS:
        raise ValueError(f"{key} must be in (0, {_MAX_SECONDS:.0f}] seconds, got {value!r}")
    return float(value)


def check_count(key: str, value: Any, *, low: int = 1, high: int = _MAX_CONNECTIONS) -> int:
    """Return `value` when it is a whole number from `low` to `high`.

    Raises:
        TypeError: when it is no whole number.
        ValueError: when it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} must be a whole number, got {type(value).__name__} {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{key} must be in [{low}, {high}], got {value!r}")
    return value


@dataclass(frozen=True, kw_only=True)
class ConnectionConfig:
    """Settings of a :class:`ConnectionManager`; times are seconds.

    Attributes:
        http_pool_size: HTTP connections in use at once, 1 to 65,535.
        http_per_host: those of one host; ``None`` allows one host the whole pool.
        http_keepalive_timeout: an idle HTTP connection is closed after this time.
        http_connection_timeout: opening an HTTP connection, TLS included, takes at most this long.
        http_pool_timeout: a request waits at most this long for a place in the pool.
        http_read_timeout: longest silence of a server in the middle of an exchange.
        redis_pool_size: Redis connections in use at once, 1 to 65,535.
        redis_pool_timeout: a command waits at most this long for a connection.
        redis_connection_timeout: opening a Redis connection takes at most this long.
        redis_timeout: longest wait for an answer of Redis.
        enable_connection_reuse: off closes each HTTP connection after one exchange.
        max_waiting: requests that may wait for a place in one pool; one more is refused at once.
    """

    HTTP_POOL_SIZE: ClassVar[int] = 100
    HTTP_KEEPALIVE_TIMEOUT: ClassVar[float] = 30
    HTTP_CONNECTION_TIMEOUT: ClassVar[float] = 5
    REDIS_POOL_SIZE: ClassVar[int] = 50
    ENABLE_CONNECTION_REUSE: ClassVar[bool] = True

    http_pool_size: int = HTTP_POOL_SIZE
    http_per_host: int | None = None
    http_keepalive_timeout: float = HTTP_KEEPALIVE_TIMEOUT
    http_connection_timeout: float = HTTP_CONNECTION_TIMEOUT
    http_pool_timeout: float = 5.0
    http_read_timeout: float = 60.0
    redis_pool_size: int = REDIS_POOL_SIZE
    redis_pool_timeout: float = 1.0
    redis_connection_timeout: float = 1.0
    redis_timeout: float = 1.0
    enable_connection_reuse: bool = ENABLE_CONNECTION_REUSE
    max_waiting: int = 10_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_timeout"):
                check_seconds(field.name, value)
            elif field.name.endswith("_size"):
                check_count(field.name, value)
        if self.http_per_host is not None:
            check_count("http_per_host", self.http_per_host)
        check_count("max_waiting", self.max_waiting, low=0, high=10_000_000)
        flag("enable_connection_reuse", self.enable_connection_reuse)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration of keys and values, as a configuration file has them.

        Raises:
            ValueError: for a key that doesn't exist or a value out of range.
            TypeError: for a value of the wrong type.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for key in settings:
            if key not in known:
                raise ValueError(f"unknown setting {key!r}; there are {', '.join(sorted(known))}")
        return cls(**settings)
