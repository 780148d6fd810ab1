"""The command `resilience`: one module of `resilience._commands` for each of its subcommands.

Such a module has a docstring, whose first line is its help, `add_arguments(parser)` and `run(options) -> int`.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence

from resilience import _commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: those of the process when ``None``.

    Returns:
        the exit status.
    """
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resilience", description="Look after services that use resilience."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for found in pkgutil.iter_modules(_commands.__path__):
        module = importlib.import_module(f"{_commands.__name__}.{found.name}")
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(found.name.replace("_", "-"), help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
