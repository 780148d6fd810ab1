"""What the scripts that are run against a server have in common: their options, reaching it, and how they end."""

import argparse
import asyncio
import math
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from http_checks import Answer, fetch

HEALTH_PATH = "/healthz"
RETRY_PAUSE = 0.1

T = TypeVar("T")


class UnusableServerError(Exception):
    """There is nothing at the address that the script could work with."""


def address(text: str) -> str:
    """Parse the address of a server."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
        raise argparse.ArgumentTypeError("write it as http://HOST:PORT")
    return text


def positive(text: str) -> float:
    """Parse a number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


async def reach(session: aiohttp.ClientSession, within: float = 0.0) -> None:
    """Return when the server answers.

    Args:
        session: with the server's address.
        within: seconds that it may take to start.

    Raises:
        UnusableServerError: with what is there instead of it.
    """
    answer = await _first_answer(session, within)
    if answer.body != {"status": "ok"}:
        raise UnusableServerError(
            f"this is another server: GET {HEALTH_PATH} is answered with {answer.status}"
        )


async def _first_answer(session: aiohttp.ClientSession, within: float) -> Answer:
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        try:
            return await fetch(session, "GET", HEALTH_PATH)
        except (aiohttp.ClientError, TimeoutError) as error:
            if loop.time() >= end:
                raise UnusableServerError(f"there is no server: {_told(error)}") from error
            await asyncio.sleep(RETRY_PAUSE)


def run_script(work: Coroutine[Any, Any, T]) -> T:
    """Do a script's work; what keeps it from its end is told in one line, and ends the process with 1."""
    try:
        return asyncio.run(work)
    except UnusableServerError as error:
        sys.exit(str(error))
    except (aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"the server stopped answering: {_told(error)}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
