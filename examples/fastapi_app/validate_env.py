"""Checks the settings of a file and of the environment, for `validate_env.sh`."""

import sys
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from settings import Settings

PREFIX = "RESILIENCE_"
# Read by other parts than the settings.
ELSEWHERE = frozenset({"RESILIENCE_METRICS_DIR", "RESILIENCE_DATA"})


def problems(file: Path) -> list[str]:
    """Return what is wrong with the settings, each by its variable's name and without its value."""
    found = [f"{name}: there is no such setting" for name in unknown(file)]
    try:
        Settings(_env_file=file)  # type: ignore[call-arg] # pydantic-settings adds it
    except ValidationError as error:
        for item in error.errors(include_input=False, include_context=False):
            where = "_".join(str(part) for part in item["loc"])
            found.append(f"{PREFIX}{where.upper()}: {item['msg']}" if where else item["msg"])
    return found


def unknown(file: Path) -> list[str]:
    """Return the variables of the file that begin as settings do but name none, as a misspelt one."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | ELSEWHERE
    named = dotenv_values(file) if file.exists() else {}
    return sorted(name for name in named if name.startswith(PREFIX) and name not in known)


def main() -> None:
    """Print the problems of a file and exit by them."""
    found = problems(Path(sys.argv[1]))
    for problem in found:
        sys.stderr.write(problem + "\n")
    if not found:
        sys.stdout.write("the settings are valid\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
