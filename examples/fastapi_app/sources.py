"""What the agents look up before they ask the model: papers, prices and news from the library's catalogue of APIs.

`RESILIENCE_SOURCES` names the APIs; without any, the agents ask the model alone. A source that can't be asked within
the time is left out, and what stands in for it is marked with its age.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI

from resilience import deadline
from resilience.errors import ResilienceError
from resilience.external import Answer, Article, ExternalApi, Page, Paper, Quote
from resilience.observability import external_api_families
from services import Services

TIME_FOR_SOURCES = 5.0
LONGEST_QUERY = 300
_SYMBOL = re.compile(r"\$([A-Z][A-Z.]{0,9})\b")
_MOST_SYMBOLS = 3

# The operation by which each agent asks an API.
USES: Mapping[str, Mapping[str, str]] = {
    "research": dict.fromkeys(
        ("arxiv", "semantic-scholar", "crossref", "openalex", "newsapi", "guardian"), "search"
    ),
    "financial": dict.fromkeys(("alpha-vantage", "yahoo-finance", "polygon"), "quote"),
}


class Sources:
    """The APIs that are configured, by name."""

    def __init__(self, apis: Mapping[str, ExternalApi]) -> None:
        known = {name for uses in USES.values() for name in uses}
        if unknown := sorted(set(apis) - known):
            raise ValueError(f"no agent uses {unknown[0]!r}; there are {', '.join(sorted(known))}")
        self._apis = apis

    async def about(self, agent: str, task: str) -> list[str]:
        """Return what the agent's sources say of a task, a line each."""
        uses = USES.get(agent, {})
        asked = [
            self._lines(self._apis[name], operation, arguments)
            for name, operation in uses.items()
            if name in self._apis
            for arguments in _arguments(operation, task)
        ]
        found = await asyncio.gather(*asked)
        return [line for lines in found for line in lines]

    async def _lines(self, api: ExternalApi, operation: str, arguments: dict[str, Any]) -> list[str]:
        try:
            async with deadline(TIME_FOR_SOURCES):
                answer = await api.request(operation, **arguments)
        except ResilienceError:
            return []  # counted by the API's breaker; the agent does without
        return [f"{line} ({api.name}{_age(answer)})" for line in map(_line, _items(answer.value)) if line]

    def stats(self) -> dict[str, Any]:
        """Return the figures of each API."""
        return {name: api.stats() for name, api in self._apis.items()}

    async def close(self) -> None:
        """Close every API's connections."""
        for api in self._apis.values():
            await api.close()


def _arguments(operation: str, task: str) -> list[dict[str, Any]]:
    if operation == "search":
        query = " ".join("".join(letter if letter.isprintable() else " " for letter in task).split())
        return [{"query": query[:LONGEST_QUERY], "limit": 3}] if query else []
    symbols = dict.fromkeys(_SYMBOL.findall(task))
    return [{"symbol": symbol} for symbol in list(symbols)[:_MOST_SYMBOLS]]


def _items(value: Any) -> tuple[Any, ...]:
    return value.items if isinstance(value, Page) else (value,)


def _line(item: Any) -> str | None:
    match item:
        case Paper():
            return f"{item.title}, {', '.join(item.authors[:3])}, {item.published or 'undated'}"
        case Article():
            return f"{item.title}, {item.published or 'undated'}"
        case Quote():
            return f"{item.symbol} {item.price:g} {item.currency or ''} at {item.time or 'an unknown time'}"
        case _:
            return None


def _age(answer: Answer[Any]) -> str:
    return f", {answer.age:.0f} s old" if answer.stale else ""


def attach(_app: FastAPI, services: Services) -> None:
    """Offer the configured sources to the agents."""

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        services.sources = Sources({name: ExternalApi(name) for name in services.settings.sources})
        services.figures["external_apis"] = services.sources.stats
        services.resilience.sources.add(
            lambda: external_api_families(services.sources.stats()), name="external_apis"
        )
        try:
            yield
        finally:
            await services.sources.close()

    services.while_running(running)
