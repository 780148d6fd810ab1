"""YAML into nodes.

The events of PyYAML's safe loader are put together here, rather than by its constructor, because a configuration
needs what that drops: lines, duplicate keys, and limits that hold before anything is built. Aliases are refused, so
that no text grows when read; families and defaults are the way to say something once.
"""

import re
from collections.abc import Iterator
from typing import Any

from resilience._config.nodes import MAX_DEPTH, MAX_NODES, Node, child_path
from resilience.errors import ConfigError

try:
    import yaml
except ImportError as error:
    raise ImportError("YAML configuration needs PyYAML: pip install 'resilience-native[yaml]'") from error

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))


def parse(text: str) -> Node:
    """The tree of a YAML document.

    Raises:
        ConfigError: a syntax error, a duplicate key, an alias, a tag, a second document, or a limit that is passed.
    """
    if bad := _FORBIDDEN.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise ConfigError("(syntax)", line, f"character U+{ord(bad[0]):04X} is not allowed")
    loader = _Loader(text)
    reader = _Reader(loader)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(reader.place, where, error.problem or "is no YAML") from None
    finally:
        loader.dispose()


class _Reader:
    """Builds nodes from the events of one document; `place` is where it has got to."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._constructor: Any = yaml.SafeLoader("")  # for single scalars
        self._left = MAX_NODES
        self.place = "(syntax)"

    def document(self) -> Node:
        self._event(yaml.StreamStartEvent)
        if self._loader.check_event(yaml.StreamEndEvent):
            return Node(None, "", 1)
        self._event(yaml.DocumentStartEvent)
        root = self._node("", 0, line=None)
        self._event(yaml.DocumentEndEvent)
        if not self._loader.check_event(yaml.StreamEndEvent):
            raise self._error("(syntax)", self._event(), "a file holds one document, here a second begins")
        return root

    def _event(self, kind: type[Any] | None = None) -> Any:
        event = self._loader.get_event()
        if kind is not None and not isinstance(event, kind):
            raise self._error("(syntax)", event, "is no YAML document")
        return event

    @staticmethod
    def _line(event: Any) -> int:
        return int(event.start_mark.line) + 1

    def _error(self, path: str, event: Any, reason: str) -> ConfigError:
        return ConfigError(path or "(the whole file)", self._line(event), reason)

    def _node(self, path: str, depth: int, line: int | None) -> Node:
        event = self._event()
        line = self._line(event) if line is None else line
        self.place = path or self.place
        self._left -= 1
        if self._left < 0:
            raise self._error(path, event, f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise self._error(path, event, f"nests deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            raise self._error(
                path, event, f"aliases (*{event.anchor}) are not allowed; use defaults or a family"
            )
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._entries(path, depth), path, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(list(self._items(path, depth)), path, line)
        return Node(self._scalar(path, event), path, line)

    def _entries(self, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            event: Any = self._event()
            if not isinstance(event, yaml.ScalarEvent) or not event.value:
                raise self._error(path, event, "a key must be a non-empty text")
            key, line = str(event.value), self._line(event)
            here = child_path(path, key)
            if key in entries:
                raise self._error(here, event, f"is given twice, first in line {entries[key].line}")
            entries[key] = self._node(here, depth + 1, line)
        self._event()
        return entries

    def _items(self, path: str, depth: int) -> Iterator[Node]:
        index = 0
        while not self._loader.check_event(yaml.SequenceEndEvent):
            yield self._node(f"{path}[{index}]", depth + 1, line=None)
            index += 1
        self._event()

    def _scalar(self, path: str, event: Any) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._constructor.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _SCALARS:
            raise self._error(path, event, f"tag {tag} is not allowed; text, numbers, true and false are")
        try:
            return self._constructor.construct_object(yaml.ScalarNode(tag, event.value), deep=True)
        except ValueError:
            raise self._error(path, event, "is a number that cannot be read") from None
