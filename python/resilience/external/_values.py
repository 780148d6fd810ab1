"""Reads of an answer what its format promises, and says where it breaks the promise.

A `Value` is a place in a JSON document; an `Element` of XML has functions for the same. Whatever a body holds,
reading it gives a value of the type asked for or raises `ShapeError`.
"""

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # a type: defusedxml parses  # nosec B405

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,300}(\.[0-9]{0,300})?(e[+-]?[0-9]{1,3})?\s*", re.IGNORECASE)
_BITS = 1024  # more than any count, few enough to convert to float
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}


class ShapeError(ValueError):
    """A body isn't what its format says."""


class RefusedError(Exception):
    """A body of status 200 that says no.

    Args:
        status: the HTTP status that it should have been.
        reason: what it says.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Value:
    """A value of a JSON document, and where it is."""

    __slots__ = ("path", "raw")

    def __init__(self, raw: Any, path: str = "") -> None:
        self.raw = raw
        self.path = path

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a document.

        Raises:
            ShapeError: it is no JSON in UTF-8, or nests too deeply.
        """
        try:
            return cls(json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant))
        except RecursionError:
            raise ShapeError("the JSON nests too deeply") from None
        except ValueError as error:  # of decoding, of JSON's syntax and of numbers of thousands of digits
            raise ShapeError(f"no JSON: {str(error)[:100]}") from None

    def __getitem__(self, key: str) -> "Value":
        """Return an entry, which may be nothing."""
        if not isinstance(self.raw, dict):
            self._wrong("an object")
        return Value(self.raw.get(key), f"{self.path}.{key}" if self.path else key)

    def __iter__(self) -> Iterator["Value"]:
        """Return the items of a list."""
        if not isinstance(self.raw, list):
            self._wrong("a list")
        return (Value(item, f"{self.path}[{i}]") for i, item in enumerate(self.raw))

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return self.raw is not None

    def entries(self) -> Iterator[tuple[str, "Value"]]:
        """Return the entries of an object."""
        if not isinstance(self.raw, dict):
            self._wrong("an object")
        return ((key, self[key]) for key in self.raw)

    def some(self) -> Iterator["Value"]:
        """Return the items of a list, none where there is nothing."""
        return iter(self) if self else iter(())

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.raw, str):
            self._wrong("text")
        if not _is_unicode(self.raw):
            self._wrong("valid Unicode")
        return self.raw

    def text_or_none(self) -> str | None:
        """Return a text; ``None`` for nothing and for an empty one."""
        return (self.text() or None) if self else None

    def whole(self) -> int:
        """Return a whole number."""
        if isinstance(self.raw, bool) or not isinstance(self.raw, int) or self.raw.bit_length() > _BITS // 2:
            self._wrong("a whole number")
        return self.raw

    def whole_or_none(self) -> int | None:
        """Return a whole number, or ``None``."""
        return self.whole() if self else None

    def number(self) -> float:
        """Return a number; text that is one counts."""
        raw = self.raw
        if isinstance(raw, str) and _NUMBER.fullmatch(raw):
            raw = float(raw)
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            self._wrong("a number")
        if (isinstance(raw, int) and raw.bit_length() >= _BITS) or not math.isfinite(raw):
            self._wrong("a finite number")
        return float(raw)

    def number_or_none(self) -> float | None:
        """Return a number, or ``None``."""
        return self.number() if self else None

    def day(self) -> date:
        """Return a date, written as in ISO 8601; a time of day after it is left out."""
        try:
            return date.fromisoformat(self.text()[:10])
        except ValueError:
            self._wrong("a date (2026-01-31)")

    def day_or_none(self) -> date | None:
        """Return a date, or ``None``."""
        return self.day() if self.raw not in (None, "") else None

    def moment(self) -> datetime:
        """Return a time, written as in ISO 8601 or as UNIX seconds, in UTC."""
        try:
            if isinstance(self.raw, str):
                given = datetime.fromisoformat(self.text())
                return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
            return datetime.fromtimestamp(self.number(), UTC)
        except (ValueError, OverflowError, OSError) as error:
            if isinstance(error, ShapeError):
                raise
            self._wrong("a time")

    def moment_or_none(self) -> datetime | None:
        """Return a time, or ``None``."""
        return self.moment() if self else None

    def _wrong(self, wanted: str) -> NoReturn:
        got = _KINDS.get(type(self.raw), "a number")
        raise ShapeError(f"{self.path or 'the document'} must be {wanted}, got {got}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def parse_xml(body: bytes) -> "Element":
    """Read an XML document; entities of its own and references to others are refused, a plain DOCTYPE is not.

    Raises:
        ShapeError: it is no XML, or declares entities.
        ImportError: without defusedxml.
    """
    from resilience.connections._optional import require

    defused = require("defusedxml.ElementTree", "http")
    forbidden = require("defusedxml.common", "http").DefusedXmlException
    try:
        root: Element = defused.fromstring(body, forbid_dtd=False)
    except forbidden as error:
        raise ShapeError(f"the XML declares what it mustn't: {type(error).__name__}") from None
    except (defused.ParseError, ValueError, LookupError, RecursionError) as error:
        raise ShapeError(f"no XML: {str(error)[:100]}") from None
    return root


def xml_text(element: "Element", path: str) -> str | None:
    """Return all text below the first element at `path`, its white space made single; ``None`` without any."""
    found = element if path == "." else element.find(path)
    if found is None:
        return None
    return " ".join("".join(found.itertext()).split()) or None


def need(value: str | None, what: str) -> str:
    """Return a text that the format promises.

    Raises:
        ShapeError: it isn't there.
    """
    if value is None:
        raise ShapeError(f"{what} is missing")
    return value


def whole_of(value: str | None, what: str) -> int | None:
    """Return the whole number that a text is, ``None`` for none.

    Raises:
        ShapeError: it is something else.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 19):  # noqa: PLR2004 - 64 bits
        raise ShapeError(f"{what} must be a whole number")
    return int(value)


def day_of(value: str | None, what: str) -> date | None:
    """Return the date that a text begins with, ``None`` for none.

    Raises:
        ShapeError: it is something else.
    """
    return None if value is None else Value(value, what).day()
