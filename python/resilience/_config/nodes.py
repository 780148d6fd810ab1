"""The tree that every format is read into: plain values that know where they were written."""

import dataclasses
from collections.abc import Iterator, Mapping

from resilience.errors import ConfigError

MAX_DEPTH = 16
MAX_BYTES = 256 * 1024
MAX_NODES = 50_000
_LONGEST_SHOWN = 40
_BITS_SHOWN = 128

Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One value of a configuration.

    Attributes:
        value: a scalar, a list of nodes, or a dict of nodes.
        path: dotted name, as ``circuit_breakers.llm.*.recovery_timeout``.
        line: line of the file, counted from 1; ``None`` when it came from a mapping.
    """

    value: "Scalar | list[Node] | dict[str, Node]"
    path: str
    line: int | None

    def error(self, reason: str) -> ConfigError:
        """The error that names this place."""
        return ConfigError(self.path or "(the whole file)", self.line, reason)

    def table(self) -> "dict[str, Node]":
        """The entries of a table; one left empty has none.

        Raises:
            ConfigError: it is no table.
        """
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error(f"must be a table of settings, got {shown(self.value)}")
        return self.value


def shown(value: object) -> str:
    """How an error names a value: what kind it is, and a short form of it when it is a plain one."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _BITS_SHOWN:
        return "a huge number"
    text = repr(value[: 2 * _LONGEST_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def child_path(parent: str, key: str) -> str:
    """Dotted name of an entry."""
    return f"{parent}.{key}" if parent else key


def from_mapping(mapping: Mapping[object, object]) -> Node:
    """The tree of a mapping that a program has built.

    Raises:
        ConfigError: a key is no string, a value is of a type that no configuration has, or it nests too deeply.
    """
    return _from_value(mapping, "", 0, iter(range(MAX_NODES)))


def _from_value(value: object, path: str, depth: int, budget: Iterator[int]) -> Node:
    place = Node(None, path, None)
    if depth > MAX_DEPTH:
        raise place.error(f"nests deeper than {MAX_DEPTH} levels")
    if next(budget, None) is None:
        raise place.error(f"more than {MAX_NODES} values")
    if isinstance(value, Mapping):
        entries: dict[str, Node] = {}
        for key, entry in value.items():
            if not isinstance(key, str) or not key:
                raise place.error(f"a key must be a non-empty string, got {shown(key)}")
            entries[key] = _from_value(entry, child_path(path, key), depth + 1, budget)
        return Node(entries, path, None)
    if isinstance(value, list | tuple):
        items = [_from_value(item, f"{path}[{i}]", depth + 1, budget) for i, item in enumerate(value)]
        return Node(items, path, None)
    if value is None or isinstance(value, str | int | float | bool):
        return Node(value, path, None)
    raise place.error(f"must be text, a number, true, false, a list or a table, got {type(value).__name__}")
