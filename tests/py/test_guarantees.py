"""The page of guarantees names tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAIM = re.compile(r"((?:`[a-z_/]+`(?:, | and )?)+): (.+)")


def sources():
    """The text of every test file by its name without a suffix."""
    files = [*ROOT.glob("tests/py/**/*.py"), *ROOT.glob("tests/cpp/**/*.cpp")]
    return {path.stem: path.read_text() for path in files}


def claims():
    """Each (files, words of a test's name) that a row of the page names."""
    rows = [line for line in (ROOT / "docs/guarantees.md").read_text().splitlines() if line.startswith("| ")]
    for row in rows:
        for group in row.split("|")[3].split(";"):
            if found := CLAIM.fullmatch(group.strip()):
                files = re.findall(r"`(?:\w+/)?(\w+)`", found[1])
                yield from ((tuple(files), words) for words in found[2].split(", "))


@pytest.mark.parametrize(("files", "words"), list(claims()), ids=lambda each: str(each)[:60])
def test_each_guarantee_names_tests_that_are_there(files, words):
    known = sources()
    assert set(files) <= set(known)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    assert name == "all" or any(re.search(rf"def test_\w*{name}", known[each]) for each in files)


def test_every_file_that_is_named_is_there():
    named = re.findall(
        r"`(?:\w+/)?(test_\w+|\w+_test|\w+_stress)`", (ROOT / "docs/guarantees.md").read_text()
    )
    assert set(named) <= set(sources())
