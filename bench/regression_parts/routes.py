"""Processor time of a request under the middleware and from the response cache, over that of the bare route.

Processor time, because requests a second depend on what else the machine does; and one loaded server after another
within each round, because the processor's own speed changes over minutes.
"""

import contextlib
from statistics import median

from fastapi_routes import load, served

NAMES = ("bare", "ours", "cached")


def ratios(rounds: int) -> dict[str, float]:
    """Serve the routes side by side, and return the median over the rounds of each one's ratio to the bare route."""
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(served(name)) for name in NAMES}
        for server in servers.values():
            load(server)  # warms it up
        seen = [{name: load(server).cpu_us for name, server in servers.items()} for _ in range(rounds)]
    return {name: median(each[name] / each["bare"] for each in seen) for name in NAMES[1:]}
