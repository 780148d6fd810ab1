"""The server's options; each is a setting too, by which workers and reloaders learn of it."""

import argparse
import os
from collections.abc import Sequence

from settings import get_settings


def read(arguments: Sequence[str] | None = None) -> None:
    """Put the options given into the environment."""
    parser = argparse.ArgumentParser(description="Serve the example; every setting is in .env.sample.")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", help="port to listen on; 0 takes a free one")
    parser.add_argument("--workers", help="processes that serve")
    parser.add_argument(
        "--replay", metavar="NAME", help="a recorded load for the allocator, such as nab_elb_request_count"
    )
    parser.add_argument("--replay-seconds", help="in which the recorded week passes")
    for name, value in vars(parser.parse_args(arguments)).items():
        if value is not None:
            os.environ[f"RESILIENCE_{name.upper()}"] = value
    get_settings.cache_clear()  # parts read them when they are imported
