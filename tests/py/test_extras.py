"""The extras of the package say all that there is."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def included(extra):
    """The extras that an extra is made of."""
    named = re.findall(r"resilience-native\[([^]]*)\]", " ".join(EXTRAS[extra]))
    return {each for group in named for each in group.split(",")}


def test_all_includes_every_extra():
    found = included("all")
    for each in list(found):
        found |= included(each)
    assert found == set(EXTRAS) - {"all"}


def test_every_dependency_has_a_bound_above():
    for name, needs in EXTRAS.items():
        assert all("<" in each for each in needs if "resilience-native" not in each), name
