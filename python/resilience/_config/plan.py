"""A whole configuration: its sections read and checked together, then put into effect together."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from resilience import _named  # noqa: F401 - its lock and that of the list of breakers have to be older than the one here
from resilience._config import sections as sections_package
from resilience._config.nodes import MAX_BYTES, Node, from_mapping
from resilience._config.schema import Commit, Entries, Section, Setting, Settings, did_you_mean
from resilience._fork import fork_safe_lock
from resilience.errors import ConfigError

Source = str | Path | Mapping[object, object]

DEFAULTS = "defaults"

# Held while a configuration is put into effect, so that a fork waits for all of it. Commits take the registries'
# locks inside of it, in the order in which whoever forks takes them: the newest first.
_lock = fork_safe_lock()


def all_sections() -> dict[str, Section]:
    """Every section there is: one a module of `sections`, under the module's name."""
    found = {}
    for module in pkgutil.iter_modules(sections_package.__path__):
        section: Section = importlib.import_module(f"{sections_package.__name__}.{module.name}").SECTION
        found[section.name] = section
    return found


def load(source: Source) -> Node:
    """The tree of a file or mapping.

    Raises:
        ConfigError: it cannot be read as what its name says it is.
        OSError: the file cannot be opened.
    """
    if isinstance(source, Mapping):
        return from_mapping(source)
    path = Path(source)
    parse = _parser(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(path.name, content.count(b"\n") + 1, f"the file is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(path.name, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    return parse(text)


def _parser(path: Path) -> Callable[[str], Node]:
    if path.suffix in {".yaml", ".yml"}:
        from resilience._config._yaml import parse
    elif path.suffix == ".toml":
        from resilience._config._toml import parse
    else:
        raise ConfigError(path.name, None, "the file's name must end in .yaml, .yml or .toml")
    return parse


def read(root: Node) -> dict[str, Entries]:
    """What a tree says about each section.

    Raises:
        ConfigError: something in it is wrong.
    """
    sections = all_sections()
    top = root.table()
    for key, node in top.items():
        if key != DEFAULTS and key not in sections:
            raise node.error(f"unknown section{did_you_mean(key, [DEFAULTS, *sections])}")
    bases = _defaults(top.get(DEFAULTS), sections)
    return {name: section.read(top.get(name), bases[name]) for name, section in sections.items()}


def _defaults(node: Node | None, sections: Mapping[str, Section]) -> dict[str, Settings]:
    """The defaults of each section: those under its name, over those for every section that has the parameter."""
    general: dict[str, dict[str, Setting]] = {name: {} for name in sections}
    special: dict[str, Settings] = {}
    for key, entry in (node.table() if node else {}).items():
        if key in sections:
            special[key] = sections[key].schema.read(entry)
            continue
        holders = [section for section in sections.values() if section.schema.parameter(key)]
        if not holders:
            known = {each.name for section in sections.values() for each in section.schema.parameters}
            raise entry.error(f"unknown setting{did_you_mean(key, known | set(sections))}")
        for section in holders:
            general[section.name].update(section.schema.read(Node({key: entry}, DEFAULTS, entry.line)))
    return {name: {**settings, **special.get(name, {})} for name, settings in general.items()}


def prepare(entries: Mapping[str, Entries]) -> list[Commit]:
    """What puts a configuration into effect, once all of it has been found good.

    Raises:
        ConfigError: something in it is wrong; nothing has changed.
    """
    sections = all_sections()
    return [sections[name].prepare(section_entries) for name, section_entries in entries.items()]


def commit(commits: Iterable[Commit]) -> None:
    """Put what was prepared into effect."""
    with _lock:
        for each in commits:
            each()
