"""Reading JSON that comes from outside: everything has the type it should have, or the answer is malformed."""

from collections.abc import Mapping
from typing import Any, TypeVar

from resilience._types import type_name
from resilience.providers._llm.errors import MalformedAnswerError
from resilience.providers._llm.types import Usage

T = TypeVar("T")
_MOST_TOKENS = 10**9  # of one answer; what is above is no count


def mapping(provider: str, value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise malformed(provider, what, "an object", value)
    return value


def items(provider: str, body: Mapping[str, Any], key: str, *, empty: bool = False) -> list[Any]:
    """The list under a key, with at least one item unless it may be empty."""
    value = body.get(key)
    if not isinstance(value, list) or not (value or empty):
        raise malformed(provider, key, "a list" if empty else "a list that isn't empty", value)
    return value


def first(provider: str, body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The first object of the list under a key."""
    return mapping(provider, items(provider, body, key)[0], f"{key}[0]")


def text(provider: str, body: Mapping[str, Any], key: str) -> str:
    """The string under a key; absent and null are empty."""
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(provider, key, "a string", value)
    return value


def label(provider: str, body: Mapping[str, Any], key: str) -> str | None:
    """The string under a key, if there is one."""
    return text(provider, body, key) or None


def usage(provider: str, counts: Any, input_key: str, output_key: str) -> Usage | None:
    """The provider's own token counts, when it gives any: all zero is what servers say that don't count."""
    if counts is None:
        return None
    counts = mapping(provider, counts, "usage")
    found = [_count(provider, counts.get(key), key) for key in (input_key, output_key)]
    if not any(found):
        return None
    return Usage(found[0] or 0, found[1] or 0)


def _count(provider: str, value: Any, key: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise malformed(provider, key, "a count of tokens", value)
    return value


def vectors(provider: str, rows: list[Any]) -> list[list[float]]:
    """Rows of numbers, all of one length."""
    for row in rows:
        if not isinstance(row, list) or not row or not all(type(number) in {int, float} for number in row):
            raise malformed(provider, "embedding", "a list of numbers", row)
        if len(row) != len(rows[0]):
            raise MalformedAnswerError(provider, "the answer holds embeddings of different lengths")
    return rows


def malformed(provider: str, what: str, wanted: str, value: Any) -> MalformedAnswerError:
    """The error for a value that isn't what it should be; the value itself stays out of it."""
    return MalformedAnswerError(provider, f"the answer's {what} should be {wanted}, not {type_name(value)}")
