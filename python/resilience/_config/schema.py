"""What a section of a configuration means: its parameters, and who says what about a name.

One :class:`Schema` drives reading, errors and the generated reference. Settings of a name come in layers, weakest
first: `defaults`, then families from broad (`llm.*`) to narrow (`llm.openai.*`), then the name itself.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping

from resilience._config.kinds import Kind
from resilience._config.nodes import Node, shown
from resilience.errors import ConfigError

LONGEST_NAME = 200
FAMILY_END = ".*"


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """A setting that a section has.

    Attributes:
        name: as in the Python API.
        kind: what it may be.
        meaning: one line for the reference.
    """

    name: str
    kind: Kind
    meaning: str


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it was written."""

    value: object
    node: Node


Settings = Mapping[str, Setting]


@dataclasses.dataclass(frozen=True)
class Schema:
    """The parameters of a section.

    Attributes:
        parameters: what a table may hold.
        code_only: names that exist in the Python API but cannot be written in a file.
        shorthand: the parameter that an entry means which is a plain value, not a table.
    """

    parameters: tuple[Parameter, ...]
    code_only: frozenset[str] = frozenset()
    shorthand: str | None = None

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, if there is one."""
        return next((each for each in self.parameters if each.name == name), None)

    def read(self, node: Node) -> Settings:
        """The settings that a table gives.

        Raises:
            ConfigError: an unknown key, or a value that isn't accepted.
        """
        plain = not isinstance(node.value, dict | None)
        alone = len(self.parameters) == 1 and not node.value  # there is nothing else that it could say
        if self.shorthand is not None and (plain or alone):
            return {self.shorthand: self._setting(self.shorthand, node)}
        return {key: self._setting(key, entry) for key, entry in node.table().items()}

    def _setting(self, key: str, node: Node) -> Setting:
        parameter = self.parameter(key)
        if parameter is not None:
            return Setting(parameter.kind.read(node), node)
        if key in self.code_only:
            raise node.error("can only be set in code")
        if isinstance(node.value, dict):
            raise node.error(f"unknown setting; a name that holds dots is written in quotes{self._like(key)}")
        raise node.error(f"unknown setting{self._like(key)}")

    def _like(self, key: str) -> str:
        return did_you_mean(key, (each.name for each in self.parameters))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word."""
    names = sorted(known)
    close = difflib.get_close_matches(word[:LONGEST_NAME], names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}"


class Entries:
    """What a configuration says about the names of one section.

    Attributes:
        base: what holds for every name; of a section without names, everything.
    """

    def __init__(
        self, base: Settings, families: Mapping[str, Settings], names: Mapping[str, Settings]
    ) -> None:
        self.base = base
        self._families = sorted(families.items(), key=lambda family: len(family[0]))
        self._names = names

    def __len__(self) -> int:
        return len(self._families) + len(self._names)

    @property
    def names(self) -> list[str]:
        """Names and families that are written down, families first, broad before narrow."""
        return [*(family for family, _ in self._families), *self._names]

    def about(self, name: str) -> Settings:
        """What families and the name's own entry say, the narrower over the broader; a family's name works too."""
        settings: dict[str, Setting] = {}
        for family, own in self._families:
            if name.startswith(family.removesuffix("*")):
                settings.update(own)
        settings.update(self._names.get(name, {}))
        return settings

    def mentions(self, name: str) -> bool:
        """Whether the name or one of its families is written down."""
        return name in self._names or any(
            name.startswith(family.removesuffix("*")) for family, _ in self._families
        )


Commit = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a configuration.

    Attributes:
        name: its key.
        meaning: one line for the reference.
        schema: its parameters.
        prepare: checks what depends on more than one setting, or on what is running, and gives back a function that
            puts all of it into effect and cannot fail. It changes nothing itself.
        named: its entries are names and families; else the section is one table of parameters.
    """

    name: str
    meaning: str
    schema: Schema
    prepare: Callable[[Entries], Commit]
    named: bool = True

    def read(self, node: Node | None, base: Settings) -> Entries:
        """What the section says, given what `defaults` says about it.

        Raises:
            ConfigError: something in it is wrong.
        """
        if node is None:
            return Entries(base, {}, {})
        if not self.named:
            return Entries({**base, **self.schema.read(node)}, {}, {})
        families: dict[str, Settings] = {}
        names: dict[str, Settings] = {}
        for name, entry in node.table().items():
            check_name(name, entry)
            (families if name.endswith("*") else names)[name] = self.schema.read(entry)
        return Entries(base, families, names)


def check_name(name: str, node: Node) -> None:
    """Refuse what is neither a name nor a family.

    Raises:
        ConfigError: it is too long, cannot be printed, or has its `*` elsewhere than at the end of `llm.*`.
    """
    if len(name) > LONGEST_NAME:
        raise node.error(f"a name has at most {LONGEST_NAME} characters")
    if not name.isprintable() or name != name.strip():
        raise node.error("a name consists of printable characters, without spaces around it")
    stem = name.removesuffix(FAMILY_END) if name != "*" else ""
    if "*" in stem:
        raise node.error(f"a family is written as prefix{FAMILY_END}, or * for all, got {shown(name)}")


def wrong_combination(error: ValueError | TypeError, settings: Settings, place: Node) -> ConfigError:
    """A constructor's error as one that names the line of a setting.

    Its first word is the argument that is wrong; where a file doesn't set that one, it sets another of those named.
    """
    argument, *words = str(error).split()
    if argument in settings:
        return settings[argument].node.error(" ".join(words))
    nodes = [settings[word].node for word in words if word in settings]
    return (nodes or [place])[0].error(str(error))
