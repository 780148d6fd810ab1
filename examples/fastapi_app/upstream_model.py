"""The local upstream's language model: answers derived from the prompt, and the time they cost.

It is no model, only an honest stand-in for one: equal prompts get equal answers, every token asked for
takes its time, and a classification prompt is answered with one of the intents that it offers.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass

DIMENSIONS = 64
_WORDS = (
    *(
        "report",
        "shows",
        "steady",
        "growth",
        "demand",
        "follows",
        "lower",
        "cost",
        "while",
        "risk",
        "remains",
    ),
    *("with", "supply", "price", "because", "early", "results", "suggest", "clear", "trend", "over", "years"),
)

CLASSIFY_MARK = "Classify this command"
_INTENTS = re.compile(r"Intents: ([a-z_, ]+)")
_COMMAND = re.compile(r"Command: (.*)", re.DOTALL)
_HINTS = {
    "research": ("paper", "study", "research", "explain", "science", "literature", "summarise", "summarize"),
    "financial": ("price", "stock", "market", "revenue", "earnings", "invest", "currency", "finance"),
    "briefing": ("brief", "overview", "compare", "report on"),
}


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer and its token counts."""

    text: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Pace:
    """How long tokens take; seconds."""

    first_token: float = 0.004
    per_prompt_token: float = 0.00002
    per_token: float = 0.0002

    def until_first(self, prompt_tokens: int) -> float:
        """Return the time to read a prompt and begin to answer."""
        return self.first_token + prompt_tokens * self.per_prompt_token

    def until_last(self, completion: Completion) -> float:
        """Return the time of a whole answer."""
        return self.until_first(completion.prompt_tokens) + completion.completion_tokens * self.per_token


def count_tokens(text: str) -> int:
    """Estimate tokens as a quarter of the characters, the usual rule for English."""
    return max(1, math.ceil(len(text) / 4))


def complete(prompt: str, max_tokens: int) -> Completion:
    """Answer a prompt with at most `max_tokens` tokens; equal prompts get equal answers."""
    if CLASSIFY_MARK in prompt:
        text = _classify(prompt)
        return Completion(text, count_tokens(prompt), count_tokens(text))
    digest = hashlib.sha256(prompt.encode()).digest()
    wanted = min(max_tokens, 24 + digest[0] % 104)
    words = [_WORDS[(digest[i % 32] + 7 * i) % len(_WORDS)] for i in range(wanted)]
    return Completion(" ".join(words).capitalize() + ".", count_tokens(prompt), wanted)


def embed(text: str) -> list[float]:
    """Hash words into a unit vector: texts that share words are near each other."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % DIMENSIONS] += 1.0 if digest[1] & 1 else -1.0
        vector[digest[2] % DIMENSIONS] += 0.5 if digest[3] & 1 else -0.5
    norm = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [round(x / norm, 6) for x in vector]


def _classify(prompt: str) -> str:
    offered = _INTENTS.search(prompt)
    command = _COMMAND.search(prompt)
    intents = [name.strip() for name in offered.group(1).split(",")] if offered else ["research"]
    text = command.group(1).lower() if command else ""
    scores = {name: sum(hint in text for hint in _HINTS.get(name, ())) for name in intents}
    best = max(scores, key=lambda name: scores[name])
    total = sum(scores.values())
    return json.dumps({"intent": best, "confidence": round((scores[best] + 0.5) / (total + 1), 3)})
