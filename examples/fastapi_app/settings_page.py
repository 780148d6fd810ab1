"""Writes `docs/reference/settings.md` from the settings and from the words of `.env.sample`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from settings import Settings

SAMPLE = Path(__file__).with_name(".env.sample")
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

_HEAD = """# Settings of the example server

Each is an environment variable, or a line of `.env`; `validate_env.sh` checks such a file before a start.
Written by `settings_page.py` from `settings.py` and `.env.sample`.

| variable | default | allowed | meaning |
|---|---|---|---|
"""


def variables() -> Iterator[tuple[str, str, str]]:
    """Yield name, value and comment of each variable of the sample; those in a row share the comment above."""
    comment: list[str] = []
    in_a_row = False
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        name, found, value = line.removeprefix("#").partition("=")
        if found and name.isupper() and " " not in name:
            in_a_row = True
            yield name, "" if line.startswith("#") else value, " ".join(comment)
        elif line.startswith("#"):
            comment = [line[1:].strip()] if in_a_row else [*comment, line[1:].strip()]
            in_a_row = False
        else:
            comment, in_a_row = [], False


def allowed(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say what a field takes, from its JSON schema."""
    schema = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    kinds = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    part = kinds[0] if kinds else schema
    if "enum" in part:
        return ", ".join(map(str, part["enum"]))
    low = part.get("minimum", part.get("exclusiveMinimum"))
    above = "" if "minimum" in part else "above "
    words = "secret" if part.get("format") == "password" else part.get("type", "string")
    if low is None:
        return str(words)
    return (
        f"{words}, {above}{low} to {part['maximum']}"
        if "maximum" in part
        else f"{words}, {above}{low} or more"
    )


def page() -> str:
    """Return the whole page."""
    schema = Settings.model_json_schema(by_alias=True)
    properties = {name.upper(): value for name, value in schema["properties"].items()}
    rows = []
    for name, value, comment in variables():
        known = properties.get(name, properties.get(name.removeprefix("RESILIENCE_"), {}))
        default = f"`{value}`" if value else "none"
        takes = allowed(known, schema["$defs"]) if known else "string"
        rows.append(f"| `{name}` | {default} | {takes} | {comment} |")
    return _HEAD + "\n".join(rows).replace("$", "&#36;") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
