"""What the README and the guides show works when pasted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONLINE = {"external-apis", "providers"}  # whose programs talk to the internet
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(program):
    return subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_readme_has_a_program():
    assert PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_readme_runs_as_pasted(program):
    assert run(program).returncode == 0


def test_the_first_example_refuses_calls_once_its_breaker_is_open():
    answers = [line.partition(": ")[2] for line in run(PROGRAMS[0]).stdout.splitlines()]
    assert answers[:3] == ["the bank does not answer"] * 3
    assert all(answer.startswith("refused at once") for answer in answers[3:])
    assert len(answers) == 5


GUIDES = {
    f"{page.stem}-{number}": program
    for page in [ROOT / "docs/tutorial.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
    for number, program in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
    if "asyncio.run(" in program and page.stem not in ONLINE
}


@pytest.mark.parametrize("program", GUIDES.values(), ids=GUIDES)
def test_a_program_of_a_guide_runs_as_pasted(program):
    assert run(program).returncode == 0


def test_the_figures_are_those_that_the_benchmarks_saved():
    check = [sys.executable, str(ROOT / "bench/summary.py"), "--check"]
    assert subprocess.run(check, timeout=60, check=False).returncode == 0
