"""redis-py as the cache wants it: short timeouts, no retries of its own, nothing that blocks, bounded answers."""

import functools
import inspect
import re
from typing import Any

_LONGEST_ANSWER = 16 * 1024 * 1024  # bytes; a server gone mad could else fill memory until the timeout
_TOO_MANY = re.compile(rb"(?:\*\d{1,6}\r\n)*\*\d{7}")  # at the beginning of an answer


def import_redis() -> Any:
    """Return redis-py's asyncio package."""
    try:
        import redis.asyncio
    except ImportError as error:
        raise ImportError("RedisCache needs the extra: pip install 'resilience-native[redis]'") from error
    return redis.asyncio


def make_client(url: str, *, timeout: float, connections: int) -> Any:
    """Return a client of the running event loop."""
    redis = import_redis()
    # Callers queue before the pool is exhausted, and repeat nothing.
    pool = redis.ConnectionPool.from_url(
        url,
        max_connections=connections,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        protocol=2,
        retry=None,
        retry_on_error=[],
        **_connection_settings(),
    )
    return redis.Redis(connection_pool=pool, retry=None)


def is_usable(url: str) -> bool:
    """Whether redis-py can make a connection of a URL: it looks only when it opens one, where nobody hears of it."""
    try:
        make_client(url, timeout=1.0, connections=1).connection_pool.make_connection()
    except (TypeError, ValueError):
        return False
    return True


@functools.cache
def _connection_settings() -> dict[str, Any]:
    from redis.asyncio.connection import AbstractConnection

    # Looking up what a connection calls itself reads a file for each of them, on the event loop.
    known = inspect.signature(AbstractConnection.__init__).parameters
    nameless = ("driver_info",) if "driver_info" in known else ("lib_name", "lib_version")
    return dict.fromkeys(nameless) | _bounded_parser()


class _BoundedReader:
    """hiredis's reader, which would make room for whatever length or count an answer announces."""

    def __init__(self, reader: Any) -> None:
        self.gets, self.has_data = reader.gets, reader.has_data
        self._feed, self._len = reader.feed, reader.len

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            ConnectionError: for an answer that no server in its right mind gives.
        """
        if not self.has_data() and _TOO_MANY.match(data):
            raise ConnectionError("an answer announces millions of elements")
        self._feed(data)
        if self._len() > _LONGEST_ANSWER:
            raise ConnectionError(f"an answer is longer than {_LONGEST_ANSWER} bytes")


def _bounded_parser() -> dict[str, Any]:
    """Return the setting of a parser with that reader; none where hiredis is missing or can't tell."""
    try:
        import hiredis
        from redis._parsers.hiredis import _AsyncHiredisParser as HiredisParser
    except ImportError:
        return {}
    if not hasattr(hiredis.Reader, "len"):
        return {}

    class BoundedParser(HiredisParser):  # type: ignore[misc, valid-type, unused-ignore]
        """hiredis, as redis-py drives it."""

        def on_connect(self, connection: Any) -> None:
            super().on_connect(connection)  # type: ignore[no-untyped-call, unused-ignore]
            reader: Any = self._reader
            self._reader: Any = _BoundedReader(reader)

    return {"parser_class": BoundedParser}
