"""What caches are given, checked when they are made."""

from collections.abc import Iterable
from typing import Any

from resilience._checks import plain_function
from resilience._types import type_name

_MOST = 2**63 - 1  # what the core can be told; the range of each bound is its own


def check_types(**arguments: Any) -> None:
    kinds: dict[str, tuple[type, ...]] = {"max_entries": (int,), "max_bytes": (int,), "policy": (str,)}
    for name, value in arguments.items():
        optional = name not in {"max_entries", "policy"}
        if optional and value is None:
            continue
        kind = kinds.get(name, (int, float))
        wanted = {"policy": "a string"}.get(name, "a number" if float in kind else "an integer")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(
                f"{name} must be {wanted}{' or None' if optional else ''}, got {type_name(value)}"
            )
        if isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise ValueError(f"{name} must be {wanted} in (0, {_MOST}], got {value}")


def check_callables(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be callable or None, got {type_name(value)}")
        if value is not None:
            plain_function(name, value)


def names_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of an entry.

    Raises:
        TypeError: for one string, whose letters would be taken for tags.
    """
    if isinstance(tags, (str, bytes)):
        raise TypeError(f"tags must be an iterable of tags, got the string {tags!r}")
    return tuple(tags)
