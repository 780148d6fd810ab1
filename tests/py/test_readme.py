"""What the README and the guides show works when pasted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.dashboard_page import needs_page

ROOT = Path(__file__).parents[2]
ONLINE = {"external-apis", "providers"}  # whose programs talk to the internet
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(program, **where):
    return subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, timeout=60, check=False, **where
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


PAGES = [ROOT / "docs/tutorial.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
SHOWN = {page.stem: re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL) for page in PAGES}
GUIDES = {
    f"{page}-{number}": program
    for page, programs in SHOWN.items()
    for number, program in enumerate(programs)
    if "asyncio.run(" in program and page not in ONLINE
}
# What stands in the other pieces of a page goes on from the pieces above it, and from what the text speaks of.
GIVEN = {
    "configuration": "loop = asyncio.get_running_loop()",
    "external-apis": "import os; os.environ['CLOUDS_KEY'] = 'none'; parse_clouds = bytes.decode",
    "fastapi": "class database: ping = pool = None",
}
PIECES = {
    page: "".join(
        program for program in programs if "asyncio.run(" not in program and "await patiently" not in program
    )
    for page, programs in SHOWN.items()
}
AS_PASTED = """
import ast, asyncio
code = compile({text!r}, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def main():
    if (running := eval(code, globals())) is not None:
        await running
asyncio.run(main())
"""


@pytest.mark.parametrize("program", GUIDES.values(), ids=GUIDES)
def test_a_program_of_a_guide_runs_as_pasted(program):
    assert run(program).returncode == 0


@pytest.mark.parametrize("page", [page for page, pieces in PIECES.items() if pieces])
def test_the_other_pieces_of_a_guide_go_on_from_one_another(page, tmp_path):
    if page == "dashboard":
        needs_page()
    for file in re.findall(r'"(\w+\.yaml)"', PIECES[page]):
        (tmp_path / file).write_text(
            re.search(r"```yaml\n(.*?)```", (ROOT / f"docs/how-to/{page}.md").read_text(), re.DOTALL)[1]
        )
    done = run(AS_PASTED.format(text=f"{GIVEN.get(page, '')}\n{PIECES[page]}"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr


def test_the_figures_are_those_that_the_benchmarks_saved():
    check = [sys.executable, str(ROOT / "bench/summary.py"), "--check"]
    assert subprocess.run(check, timeout=60, check=False).returncode == 0
