"""Requests as a catalogue writes them: texts with arguments in braces.

``{query}`` must be given, ``{limit=10}`` has a default, and a query parameter with ``{cursor?}`` is left out without
it. In a path an argument is one segment, whatever characters it holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from resilience._types import type_name

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)(?:(\?)|=([^{}]*))?\}")
_LONGEST = 2_000
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of an operation.

    Attributes:
        name: of the keyword.
        default: where it isn't given; ``None`` when it may be left out.
        required: whether it must be given.
        most: for a whole number, the largest; ``None`` for text.
    """

    name: str
    default: str | None
    required: bool
    most: int | None

    def read(self, given: Any) -> str | None:
        """Return the text that goes into the request.

        Raises:
            TypeError: when it is missing or of another type.
            ValueError: when it is out of range.
        """
        if given is _MISSING:
            if self.required:
                raise TypeError(f"argument {self.name!r} is missing")
            return self.default
        if self.most is not None:
            return self._read_whole(given)
        if isinstance(given, bool) or not isinstance(given, (str, int, float, date)):
            raise TypeError(f"{self.name} must be text, a number or a date, got {type_name(given)}")
        text = given.isoformat() if isinstance(given, date) else str(given)
        if not 0 < len(text) <= _LONGEST or not _is_clean(text):
            raise ValueError(f"{self.name} must be 1 to {_LONGEST} printable characters")
        return text

    def _read_whole(self, given: Any) -> str:
        if isinstance(given, bool) or not isinstance(given, int):
            raise TypeError(f"{self.name} must be a whole number, got {type_name(given)}")
        if self.most is None or not 0 <= given <= self.most:
            raise ValueError(f"{self.name} must be a whole number in [0, {self.most}], got {given}")
        return str(given)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, filled in: what it is cached under, and where it goes."""

    operation: str
    target: str


@dataclass(frozen=True)
class Template:
    """Path and query of an operation.

    Args:
        path: begins with a slash.
        query: parameters by name.
        bounds: the largest value of arguments that are whole numbers.

    Raises:
        ValueError: for a path that doesn't begin with a slash, or a bound of no argument.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)
    arguments: Mapping[str, Argument] = field(init=False)

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "?" in self.path or "#" in self.path:
            raise ValueError(f"path must begin with '/' and hold no '?' or '#', got {self.path!r}")
        found: dict[str, Argument] = {}
        for text in (self.path, *self.query.values()):
            if "{" in _PLACE.sub("", text) or "}" in _PLACE.sub("", text):
                raise ValueError(
                    f"{text!r} has braces that are no argument: {{name}}, {{name=default}}, {{name?}}"
                )
            for place in _PLACE.finditer(text):
                name, optional, default = place.groups()
                required = optional is None and default is None
                found[name] = Argument(name, default, required, self.bounds.get(name))
        if unknown := sorted(set(self.bounds) - set(found)):
            raise ValueError(f"bounds of arguments that aren't there: {', '.join(unknown)}")
        object.__setattr__(self, "arguments", found)

    def fill(self, given: Mapping[str, Any]) -> str:
        """Return the path with the query.

        Raises:
            TypeError: for an argument that is missing, unknown or of another type.
            ValueError: for one out of range.
        """
        if unknown := sorted(set(given) - set(self.arguments)):
            known = ", ".join(self.arguments) or "none"
            raise TypeError(f"unknown argument {unknown[0]!r}; there are {known}")
        values = {name: argument.read(given.get(name, _MISSING)) for name, argument in self.arguments.items()}
        path = _PLACE.sub(lambda place: _segment(place[1], values[place[1]]), self.path)
        pairs = {key: _filled(text, values) for key, text in self.query.items()}
        query = urlencode({key: value for key, value in pairs.items() if value is not None}, quote_via=quote)
        return f"{path}?{query}" if query else path


def _is_clean(text: str) -> bool:
    return text.isprintable()  # neither control characters nor half of a surrogate pair


def _segment(name: str, value: str | None) -> str:
    if value is None or value in {".", ".."}:
        raise ValueError(f"{name} must be a name, got {value!r}")
    return quote(value, safe="")


def _filled(text: str, values: Mapping[str, str | None]) -> str | None:
    """A parameter's value; ``None`` when it asks for an argument that was left out."""
    if any(values[name] is None for name, _, _ in _PLACE.findall(text)):
        return None
    return _PLACE.sub(lambda place: values[place[1]] or "", text)
