"""TOML into nodes.

tomllib checks and reads the text but tells no lines, so a small scanner walks over it first and notes where each key
is written. The scanner also holds the limits: it stops at what nests too deeply, before tomllib would recurse.
"""

import re
import tomllib

from resilience._config.nodes import MAX_DEPTH, Node, child_path
from resilience.errors import ConfigError

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)  # fmt: skip
_PLAIN = re.compile(r"[^,\]}\n#]*")
_HUGE_NUMBER = re.compile(r"[0-9_]{4000,}")  # Python refuses to convert more digits than about these
_LINE_IN_MESSAGE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


def parse(text: str) -> Node:
    """The tree of a TOML document.

    Raises:
        ConfigError: a syntax error, a key given twice, or a limit that is passed.
    """
    lines = _Scanner(text).lines()
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _LINE_IN_MESSAGE.search(message)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise ConfigError(_key_at(lines, line), line, _LINE_IN_MESSAGE.sub("", message).strip()) from None
    except ValueError:
        digits = _HUGE_NUMBER.search(text)
        line = text.count("\n", 0, digits.start() if digits else 0) + 1
        raise ConfigError(_key_at(lines, line), line, "is a number that cannot be read") from None
    return _node(document, (), "", lines, 1)


def _key_at(lines: dict[Path, int], line: int) -> str:
    """The last key that is written at or above `line`."""
    above = [path for path, noted in lines.items() if noted <= line]
    return ".".join(str(part) for part in above[-1]) if above else "(syntax)"


def _node(value: object, place: Path, path: str, lines: dict[Path, int], line: int) -> Node:
    line = lines.get(place, line)
    if isinstance(value, dict):
        entries = {
            key: _node(entry, (*place, key), child_path(path, key), lines, line)
            for key, entry in value.items()
        }
        return Node(entries, path, line)
    if isinstance(value, list):
        items = [_node(item, (*place, i), f"{path}[{i}]", lines, line) for i, item in enumerate(value)]
        return Node(items, path, line)
    if not isinstance(value, str | int | float | bool):
        raise Node(None, path, line).error(
            f"must be text, a number, true or false, got {type(value).__name__}"
        )
    return Node(value, path, line)


class _Scanner:
    """Notes the line of each key. Text that is no TOML ends the scan early: tomllib has the word on it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._found: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}
        self._given: dict[Path, int] = {}

    def lines(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            elif not self._assignment(table, len(table)):
                break
        return self._found

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return self._at

    def _take(self, characters: str) -> bool:
        taken = self._text.startswith(characters, self._at)
        self._at += len(characters) * taken
        return taken

    def _note(self, path: Path) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self._found.setdefault(path, self._line)

    def _claim(self, path: Path) -> None:
        """`path` is given a value, or is the header of a table, here and nowhere else."""
        if path in self._given:
            name = ".".join(str(part) for part in path)
            raise ConfigError(name, self._line, f"is given twice, first in line {self._given[path]}")
        self._given[path] = self._line

    def _too_deep(self, path: Path) -> None:
        self._note(path)
        name = ".".join(str(part) for part in path[:MAX_DEPTH])
        raise ConfigError(name or "(syntax)", self._line, f"nests deeper than {MAX_DEPTH} levels")

    def _key(self, path: Path) -> Path:
        """`path` with the dotted key that stands here; unchanged when there is none."""
        while True:
            self._skip(_SPACE)
            start = self._at
            if self._text.startswith(('"', "'"), start):
                part = self._unquoted(self._text[start : self._skip(_STRING)])
            else:
                part = self._text[start : self._skip(_BARE_KEY)]
            if self._at == start:
                return path
            path = (*path, part)
            self._note(path)
            if len(path) > MAX_DEPTH:
                self._too_deep(path)
            self._skip(_SPACE)
            if not self._take("."):
                return path

    @staticmethod
    def _unquoted(literal: str) -> str:
        try:
            return str(tomllib.loads(f"key = {literal}")["key"])
        except tomllib.TOMLDecodeError:
            return literal

    def _header(self) -> Path:
        repeated = self._take("[[") or not self._take("[")
        path = self._resolve(self._key(()))
        if repeated:
            index = self._elements.get(path, -1) + 1
            self._elements[path] = index
            path = (*path, index)
            self._note(path)
        self._claim(path)
        self._take("]]" if repeated else "]")
        return path

    def _resolve(self, path: Path) -> Path:
        """A header inside an array of tables means the array's latest element."""
        place: Path = ()
        for part in path[:-1]:
            place = (*place, part)
            if place in self._elements:
                place = (*place, self._elements[place])
        place += path[-1:]
        self._note(place)
        return place

    def _assignment(self, table: Path, depth: int) -> bool:
        path = self._key(table)
        self._skip(_SPACE)
        if path == table or not self._take("="):
            return False
        self._claim(path)
        return self._value(path, depth + 1)

    def _value(self, path: Path, depth: int) -> bool:
        if depth > MAX_DEPTH:
            self._too_deep(path)
        self._skip(_SPACE)
        start = self._at
        if self._take("["):
            return self._array(path, depth)
        if self._take("{"):
            return self._inline_table(path, depth)
        self._skip(_STRING if self._text.startswith(('"', "'"), start) else _PLAIN)
        return self._at > start

    def _array(self, path: Path, depth: int) -> bool:
        index = 0
        while self._skip(_BLANK) < len(self._text) and not self._take("]"):
            item = (*path, index)
            self._note(item)
            if not self._value(item, depth + 1):
                return False
            self._skip(_BLANK)
            self._take(",")
            index += 1
        return True

    def _inline_table(self, path: Path, depth: int) -> bool:
        while self._skip(_BLANK) < len(self._text) and not self._take("}"):
            if not self._assignment(path, depth):
                return False
            self._skip(_BLANK)
            self._take(",")
        return True
