"""What a check of the HTTP contract is made of: a request, what came of it, and the finding."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of the contract saw."""

    name: str
    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end; `body` is None when it is no JSON."""

    status: int
    headers: Mapping[str, str]
    text: str
    body: Any

    @property
    def is_problem(self) -> bool:
        """Whether it is an error as the contract wants errors."""
        kind = self.headers.get("Content-Type", "")
        return kind.startswith(PROBLEM) and bool(self.body.get("status") == self.status)


Check = Callable[[aiohttp.ClientSession], Awaitable[Finding]]


async def fetch(
    session: aiohttp.ClientSession, method: str, path: str, body: object = None, **more: Any
) -> Answer:
    """Send one request; `more` is the client's, as headers or data."""
    async with session.request(method, path, json=body, **more) as response:
        text = await response.text()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(
            response.status,
            response.headers,
            text,
            await response.json(content_type=None) if is_json else None,
        )


class RefusedError(ValueError):
    """A request that a check can't do without was not answered with 200."""


async def ask(session: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Answer:
    """Send one request and return its answer; raises RefusedError for another status than 200."""
    answer = await fetch(session, method, path, body)
    if answer.status != HTTPStatus.OK:
        raise RefusedError(f"{method} {path} is answered with {answer.status}")
    return answer


async def checked(check: Check, session: aiohttp.ClientSession) -> Finding:
    """Run one check; an answer that it can't even read is a finding too."""
    try:
        return await check(session)
    except (LookupError, TypeError, ValueError, AttributeError, TimeoutError, aiohttp.ClientError) as error:
        name = getattr(check, "__name__", "check").replace("_", " ")
        seen = str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
        return Finding(name, passed=False, seen=seen)


def named(name: str, check: Check) -> Check:
    """Give a check that was made by a function the name under which it is reported."""
    check.__name__ = name
    return check


def lacking(body: Any, keys: set[str]) -> list[str]:
    """Return which keys an object lacks; all of them when it is none."""
    return sorted(keys - set(body)) if isinstance(body, dict) else sorted(keys)


def answers(path: str, *keys: str) -> Check:
    """Return a check that a GET route answers 200 with these keys."""

    async def check(session: aiohttp.ClientSession) -> Finding:
        answer = await fetch(session, "GET", path)
        missing = lacking(answer.body, set(keys)) if keys else []
        seen = f"{answer.status}, missing {missing}" if missing else str(answer.status)
        return Finding(f"GET {path}", answer.status == HTTPStatus.OK and not missing, seen)

    return named(f"GET {path}", check)


def refuses(method: str, path: str, status: HTTPStatus, body: object = None, **more: Any) -> Check:
    """Return a check that a request is refused with this status, as a problem."""
    name = f"{method} {path} is {status}"

    async def check(session: aiohttp.ClientSession) -> Finding:
        answer = await fetch(session, method, path, body, **more)
        seen = str(answer.status) if answer.is_problem else f"{answer.status}, no {PROBLEM}"
        return Finding(name, answer.status == status and answer.is_problem, seen)

    return named(name, check)
