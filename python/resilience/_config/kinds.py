"""What a setting's value may be: each kind reads a node, and says in one phrase what it accepts.

The phrase serves errors and the generated reference alike.
"""

import abc
import dataclasses
import math
import re
from typing import ClassVar

from resilience._config.nodes import Node, shown

_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z%]*)\s*")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FRACTIONS = {"": 1.0, "%": 0.01}
_BITS = 512  # far more than any setting, few enough to convert to float


class NotAccepted(Exception):  # noqa: N818 - it never leaves this module
    """A value is not what its kind accepts."""


class Kind(abc.ABC):
    """A kind of value."""

    @abc.abstractmethod
    def accepts(self) -> str:
        """What is accepted, as in "must be ..."."""

    @abc.abstractmethod
    def convert(self, value: object) -> object:
        """The value a program gets.

        Raises:
            NotAccepted: it is none of what :meth:`accepts` says.
        """

    def read(self, node: Node) -> object:
        """The value of a node.

        Raises:
            ConfigError: it isn't accepted.
        """
        try:
            return self.convert(node.value)
        except NotAccepted:
            raise node.error(f"must be {self.accepts()}, got {shown(node.value)}") from None


@dataclasses.dataclass(frozen=True)
class Number(Kind):
    """A number between two bounds; where `above` is set the lower bound itself is out, where `below`, the upper."""

    minimum: float
    maximum: float
    above: bool = False
    below: bool = False
    noun: ClassVar[str] = "a number"
    units: ClassVar[dict[str, float]] = {}

    def accepts(self) -> str:
        opening, closing = "(" if self.above else "[", ")" if self.below else "]"
        return f"{self.noun} in {opening}{self.minimum:.10g}, {self.maximum:.10g}{closing}"

    def convert(self, value: object) -> object:
        number = self._number(value)
        low = number > self.minimum if self.above else number >= self.minimum
        high = number < self.maximum if self.below else number <= self.maximum
        if not (low and high):
            raise NotAccepted
        return number

    def _number(self, value: object) -> float:
        if isinstance(value, str):
            return self._with_unit(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self._is_finite(value):
            raise NotAccepted
        return float(value)

    @staticmethod
    def _is_finite(value: float) -> bool:
        return value.bit_length() < _BITS if isinstance(value, int) else math.isfinite(value)

    def _with_unit(self, text: str) -> float:
        match = _NUMBER_AND_UNIT.fullmatch(text[:64])
        if match is None or match[2] not in self.units:
            raise NotAccepted
        # divided where that is exact: 500ms is 0.5, and 7% is 0.07
        factor = self.units[match[2]]
        return float(match[1]) * factor if factor >= 1 else float(match[1]) / round(1 / factor)


@dataclasses.dataclass(frozen=True)
class Duration(Number):
    """A time in seconds, or text with a unit."""

    noun: ClassVar[str] = "a duration (30, 30s, 500ms, 2m, 1h)"
    units: ClassVar[dict[str, float]] = _SECONDS

    def accepts(self) -> str:
        return f"{super().accepts()} seconds"


@dataclasses.dataclass(frozen=True)
class Rate(Number):
    """A fraction, or a percentage."""

    minimum: float = 0.0
    maximum: float = 1.0
    noun: ClassVar[str] = "a rate (0.6 or 60%)"
    units: ClassVar[dict[str, float]] = _FRACTIONS


@dataclasses.dataclass(frozen=True)
class Whole(Number):
    """A whole number."""

    noun: ClassVar[str] = "a whole number"

    def convert(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            raise NotAccepted
        super().convert(value)
        return value


@dataclasses.dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    def accepts(self) -> str:
        return "true or false"

    def convert(self, value: object) -> object:
        if not isinstance(value, bool):
            raise NotAccepted
        return value


@dataclasses.dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    def accepts(self) -> str:
        return f"one of {', '.join(self.words)}"

    def convert(self, value: object) -> object:
        if not isinstance(value, str) or value not in self.words:
            raise NotAccepted
        return value


@dataclasses.dataclass(frozen=True)
class Text(Kind):
    """Text of bounded length that can be shown. A refusal doesn't repeat it: it may be a secret."""

    longest: int = 4096

    def accepts(self) -> str:
        return f"text of 1 to {self.longest} printable characters"

    def convert(self, value: object) -> object:
        if not isinstance(value, str) or not 0 < len(value) <= self.longest or not value.isprintable():
            raise NotAccepted
        return value

    def read(self, node: Node) -> object:
        try:
            return self.convert(node.value)
        except NotAccepted:
            raise node.error(f"must be {self.accepts()}") from None


@dataclasses.dataclass(frozen=True)
class ListOf(Kind):
    """A list whose items are all of one kind."""

    item: Kind
    longest: int = 1000

    def accepts(self) -> str:
        return f"a list of at most {self.longest}, each {self.item.accepts()}"

    def convert(self, value: object) -> object:
        if not isinstance(value, list) or len(value) > self.longest:
            raise NotAccepted
        return tuple(self.item.read(node) for node in value)


@dataclasses.dataclass(frozen=True)
class Optional(Kind):
    """Another kind, or nothing (`null` in YAML), which means the default that depends on other settings."""

    kind: Kind

    def accepts(self) -> str:
        return self.kind.accepts()

    def convert(self, value: object) -> object:
        return None if value is None else self.kind.convert(value)

    def read(self, node: Node) -> object:
        return None if node.value is None else self.kind.read(node)
