"""What caches are given, checked when they are made."""

from collections.abc import Iterable
from typing import Any

from resilience._checks import MOST_WHOLE
from resilience._types import type_name


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
        if isinstance(value, int) and abs(value) > MOST_WHOLE:  # the range of each bound is its own
            raise ValueError(f"{name} must be {wanted} in (0, {MOST_WHOLE}], got {value}")


def names_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of an entry.

    Raises:
        TypeError: for one string, whose letters would be taken for tags.
    """
    if isinstance(tags, (str, bytes)):
        raise TypeError(f"tags must be an iterable of tags, got the string {tags!r}")
    return tuple(tags)
