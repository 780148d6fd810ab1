"""Check configuration files, changing nothing.

Prints one line a file, with key and line of what is wrong. Exits with 0 when all are good, 1 when one is not, and
2 when one cannot be read.
"""

import argparse
import sys

from resilience import config

GOOD, WRONG, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .yaml, .yml or .toml file")


def run(options: argparse.Namespace) -> int:
    """Check each file."""
    return max(_check(path) for path in options.files)


def _check(path: str) -> int:
    try:
        counts = config.check(path)
    except config.ConfigError as error:
        line = "" if error.line is None else f":{error.line}"
        sys.stderr.write(f"{path}{line}: {error.key}: {error.reason}\n")
        return WRONG
    except (OSError, ImportError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return UNREADABLE
    said = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    sys.stdout.write(f"{path}: good ({said or 'nothing by name'})\n")
    return GOOD
