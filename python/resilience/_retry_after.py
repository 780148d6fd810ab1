"""Reads how long an upstream asks its callers to stay away."""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any


def attribute(error: object, name: str) -> Any:
    """An attribute of whatever a call raised; ``None`` where it has none, or where its own code fails.

    Looking at an error must not put another in its place.
    """
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a property of anybody's
        return None


def retry_after(error: BaseException, unix_time: float) -> float | None:
    """Seconds that `error` asks to wait before the next attempt.

    Looked for in this order: an attribute ``retry_after`` (this library's rejections), and the headers
    ``retry-after-ms`` and ``retry-after`` (seconds or an HTTP date) of ``error.response`` or of the error itself.
    Values that are negative, not finite or malformed are no answer.

    Args:
        error: what a call raised.
        unix_time: the present, in seconds since the epoch, for dates.

    Returns:
        Seconds >= 0, or ``None`` when nothing usable is there.
    """
    own = _seconds(attribute(error, "retry_after"))
    if own is not None:
        return own
    for holder in (attribute(error, "response"), error):
        headers = attribute(holder, "headers")
        if headers is not None:
            found = from_headers(headers, unix_time)
            if found is not None:
                return found
    return None


def from_headers(headers: Any, unix_time: float) -> float | None:
    """Seconds that response headers ask to wait; ``None`` when nothing usable is there."""
    milliseconds = _seconds(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    value = _header(headers, "retry-after")
    seconds = _seconds(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - unix_time)
    except (ValueError, TypeError, OverflowError):
        return None


def _header(headers: Any, name: str) -> object:
    """One header of whatever a client calls its headers; names are matched in any case."""
    get = getattr(headers, "get", None)
    if not callable(get):
        return None
    value: object = get(name)
    if value is None:
        value = get(name.title())
    if value is None and isinstance(headers, Mapping):
        value = next((v for k, v in headers.items() if isinstance(k, str) and k.lower() == name), None)
    return value


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None
