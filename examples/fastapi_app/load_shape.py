"""The shape of the load: what each arrival asks for.

The trace holds no text, so prompts are drawn by Zipf's law (exponent 1) from 6,000: cache hits are earned by
popularity. 65 % are commands; 35 % ask for embeddings, one text per 256 tokens of context.
"""

import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from load_trace import Arrival

PROMPTS = 6_000
COMMAND_SHARE = 0.65
TOKENS_A_TEXT = 256

COMMANDS = "/api/nl/process"
EMBEDDINGS = "/api/embeddings"

# Of twenty prompts twelve are research, seven financial and one a briefing.
_WORDINGS = (
    *("Explain the latest research on topic {}",) * 6,
    *("Summarise the papers about topic {}",) * 6,
    *("What moved the stock price of company {}",) * 7,
    "Prepare an overview of sector {}",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the load; `at` in seconds of the run."""

    at: float
    path: str
    body: dict[str, Any]


def prompt(rank: int) -> str:
    """Return the prompt of a popularity rank."""
    return _WORDINGS[(rank * 7) % len(_WORDINGS)].format(rank)


def shape(arrivals: list[Arrival], *, speed: float, seed: int, embeddings: bool) -> Iterator[Request]:
    """Yield what each arrival asks for, `speed` times faster than recorded.

    Args:
        arrivals: The arrivals, in order.
        speed: Compression of time, above 0.
        seed: Of the popularity draws.
        embeddings: Whether the server has the embeddings route; else everything is a command.
    """
    dice = random.Random(seed)  # noqa: S311 - a load is to repeat, not to be secret
    cumulative = list(itertools.accumulate(1 / rank for rank in range(1, PROMPTS + 1)))
    for arrival in arrivals:
        text = prompt(bisect_left(cumulative, dice.random() * cumulative[-1]))
        at = arrival.at / speed
        if dice.random() < COMMAND_SHARE or not embeddings:
            yield Request(at, COMMANDS, {"text": text})
        else:
            texts = math.ceil(arrival.context_tokens / TOKENS_A_TEXT)
            yield Request(at, EMBEDDINGS, {"texts": [f"{text}, passage {n}" for n in range(texts)]})
