"""The settings: the sample says the defaults, and bad files are refused by name and without their values."""

import os
import subprocess
import sys

import pytest

import settings_page
from settings import Settings
from support.example import EXAMPLE
from validate_env import problems

SCRIPT = EXAMPLE / "validate_env.sh"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "env"


def test_the_sample_is_valid_and_says_the_defaults():
    assert problems(EXAMPLE / ".env.sample") == []
    assert Settings(_env_file=EXAMPLE / ".env.sample") == Settings(_env_file=None)


def test_the_sample_documents_every_setting():
    sample = (EXAMPLE / ".env.sample").read_text()
    for name in Settings.model_fields:
        assert name.upper() in sample, f"{name} is not in .env.sample"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("RESILIENCE_PORT=99999", "RESILIENCE_PORT"),
        ("RESILIENCE_WORKERS=none", "RESILIENCE_WORKERS"),
        ("RESILIENCE_ENVIRONMENT=staging", "RESILIENCE_ENVIRONMENT"),
        ("RESILIENCE_UPSTREAM_TIMEOUT=0", "RESILIENCE_UPSTREAM_TIMEOUT"),
        ("RESILIENCE_PROT=8003", "RESILIENCE_PROT"),
        ("RESILIENCE_JWT_SECRET=hunter2", "jwt_secret"),
        ("RESILIENCE_ADMIN_TOKEN=replace-me-with-32-random-bytes-or-more", "admin_token"),
    ],
)
def test_a_bad_line_is_named_without_its_value(file, line, named):
    file.write_text(line + "\n")
    found = "\n".join(problems(file))
    assert named in found
    assert "hunter2" not in found


@pytest.mark.parametrize(("line", "status"), [("RESILIENCE_PORT=8003", 0), ("RESILIENCE_PORT=none", 1)])
def test_the_script_exits_by_the_result(file, line, status):
    file.write_text(line + "\n")
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(EXAMPLE.parents[1] / "python")}
    done = subprocess.run([SCRIPT, file], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("RESILIENCE_PORT" in done.stderr) == bool(status)


def test_the_page_of_settings_is_what_settings_and_sample_say():
    assert settings_page.PAGE.read_text() == settings_page.page(), "run examples/fastapi_app/settings_page.py"


def test_the_page_names_every_setting_once_with_a_meaning():
    rows = list(settings_page.variables())
    names = [name.removeprefix("RESILIENCE_") for name, _, _ in rows]
    assert len(names) == len(set(names))
    assert {name.upper() for name in Settings.model_fields} <= set(names)
    assert all(comment for _, _, comment in rows)
