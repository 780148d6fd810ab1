"""The command `resilience`."""

import subprocess
import sys

import pytest

from resilience import cli, get_circuit_breaker

pytestmark = pytest.mark.usefixtures("clean_configuration")


def written(folder, text, name="settings.yaml"):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_good_file_is_called_good_and_not_applied(tmp_path, capsys):
    path = written(tmp_path, "circuit_breakers:\n  llm.*: {}\n  db: {failure_threshold: 9}\n")
    assert cli.main(["check-config", path]) == 0
    assert capsys.readouterr().out == f"{path}: good (circuit_breakers: 2)\n"
    assert get_circuit_breaker("db").config.failure_threshold is None


def test_a_bad_file_is_named_with_line_and_key(tmp_path, capsys):
    path = written(tmp_path, "circuit_breakers:\n  db: {failure_threshold: -9}\n")
    assert cli.main(["check-config", path]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        f"{path}:2: circuit_breakers.db.failure_threshold: must be a whole number in [0, "
    )


def test_a_file_that_cannot_be_read_is_told_from_a_bad_one(tmp_path, capsys):
    assert cli.main(["check-config", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in capsys.readouterr().err


def test_the_worst_of_several_files_decides(tmp_path):
    good = written(tmp_path, "", "good.toml")
    bad = written(tmp_path, "x = 1", "bad.toml")
    assert cli.main(["check-config", good, bad, good]) == 1


def test_without_a_command_it_tells_which_there_are(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 2
    assert "check-config" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    assert "check-config" in capsys.readouterr().out


def test_the_package_runs_as_the_command(tmp_path):
    path = written(tmp_path, "")
    run = subprocess.run(
        [sys.executable, "-m", "resilience", "check-config", path], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{path}: good (nothing by name)\n"
