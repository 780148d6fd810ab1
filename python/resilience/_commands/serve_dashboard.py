"""Serve the dashboard of a running server.

Shows the metrics of the server at --target. On any address but loopback it asks for a token, which is the value of
RESILIENCE_DASHBOARD_TOKEN (at least 32 bytes), as the password of any user. Exits with 2 when it may not start.
"""

import argparse
import os
import sys

REFUSED = 2
_VARIABLE = "RESILIENCE_DASHBOARD_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8888, help="port to listen on (8888)")
    parser.add_argument(
        "--target", default="http://127.0.0.1:8003", help="the server (http://127.0.0.1:8003)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    try:
        import uvicorn

        from resilience._hosts import is_loopback
        from resilience.dashboard import create_app

        token = os.environ.get(_VARIABLE) or None
        if token is None and not is_loopback(options.host):
            sys.stderr.write(
                f"{options.host} isn't loopback: set {_VARIABLE} to a token of at least 32 bytes\n"
            )
            return REFUSED
        app = create_app(target=options.target, token=token)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} isn't installed: pip install 'resilience-native[dashboard]'\n")
        return REFUSED
    except (ValueError, RuntimeError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    uvicorn.run(app, host=options.host, port=options.port, access_log=False, server_header=False)
    return 0
