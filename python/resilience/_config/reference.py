"""The reference of a configuration's sections, made of their schemas: `python -m resilience._config.reference`."""

import sys
from collections.abc import Iterator

from resilience._config.plan import all_sections
from resilience._config.schema import Section

_HEAD = """# Configuration reference

Every section and setting that a configuration may hold. This page is made of the schemas that check it; how to use
them is told in [Configuration](../how-to/configuration.md).
"""


def reference() -> str:
    """The page, as Markdown."""
    return "\n".join([_HEAD, *(line for section in all_sections().values() for line in _lines(section))])


def _lines(section: Section) -> Iterator[str]:
    yield f"## `{section.name}`\n"
    entries = "Its entries are names and families." if section.named else "It is one table."
    yield f"{section.meaning[0].upper()}{section.meaning[1:]}. {entries}\n"
    if section.schema.shorthand:
        yield f"An entry that is a plain value sets `{section.schema.shorthand}`.\n"
    yield "| setting | meaning | value |"
    yield "|---|---|---|"
    for each in section.schema.parameters:
        yield f"| `{each.name}` | {each.meaning} | {each.kind.accepts()} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(reference())
