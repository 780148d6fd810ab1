"""Show the figures of a running server in the terminal.

Shows the metrics of the server at --target until interrupted, or --once. Exits with 1 when --once finds no figures,
and with 2 when it may not start.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

UNAVAILABLE, REFUSED = 1, 2
_SHORTEST, _LONGEST = 0.1, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--target", default="http://127.0.0.1:8003", help="the server (http://127.0.0.1:8003)"
    )
    parser.add_argument("--interval", type=_interval, default=2.0, help="seconds, 0.1 to 3600 (2)")
    parser.add_argument("--once", action="store_true", help="show one moment and end")


def _interval(text: str) -> float:
    value = float(text)
    if not _SHORTEST <= value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"must be in [{_SHORTEST}, {_LONGEST:.0f}] seconds, got {text}")
    return value


def run(options: argparse.Namespace) -> int:
    """Show figures until told to stop."""
    try:
        from resilience.connections._optional import require
        from resilience.dashboard._figures import Scrape

        require("rich", "dashboard")
        gather = Scrape(options.target)
        from resilience.dashboard._terminal import render
    except (ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    try:
        return asyncio.run(_show(options, gather, render))
    except KeyboardInterrupt:
        return 0


async def _show(options: argparse.Namespace, gather: Any, render: Callable[..., Any]) -> int:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        if options.once:
            shown, found = await _moment(options.target, gather, render)
            console.print(shown)
            return 0 if found else UNAVAILABLE
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                shown, _ = await _moment(options.target, gather, render)
                live.update(shown, refresh=True)
                await asyncio.sleep(options.interval)
    finally:
        await gather.close()


async def _moment(target: str, gather: Any, render: Callable[..., Any]) -> tuple[Any, bool]:
    """What there is to show now, and whether it is figures."""
    from rich.text import Text

    from resilience.dashboard._figures import FiguresUnavailableError
    from resilience.errors import ResilienceError

    try:
        return render(await gather(), target), True
    except (FiguresUnavailableError, ResilienceError) as error:
        return Text(f"no figures of {target}: {error}", "red"), False
