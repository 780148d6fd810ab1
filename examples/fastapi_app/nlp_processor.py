"""Natural-language commands: what does the user want done?

The model classifies; while its breaker is open or the model fails, keywords do, less well but at once.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from fastapi import FastAPI

from batching import Batching
from resilience import Cache, cache
from resilience.allocator import cache_size
from services import Services
from smart_dispatcher import MODEL_FAILURES, pipeline
from upstream_client import MalformedAnswerError

CLASSIFICATION_TOKENS = 32
CLASSIFICATION_TTL = 600.0
MAX_CLASSIFICATIONS = 10_000
ENTRIES_PER_MB = 100  # as many as the allocator's first 100 MB are to hold
KEYWORD_CONFIDENCE = 0.4


class Intent(StrEnum):
    """What a command asks for."""

    RESEARCH = "research"
    FINANCIAL = "financial"
    BRIEFING = "briefing"


_KEYWORDS: dict[Intent, tuple[str, ...]] = {
    Intent.BRIEFING: ("briefing", "overview", "compare"),
    Intent.FINANCIAL: ("price", "stock", "market", "revenue", "earnings", "invest", "currency"),
    Intent.RESEARCH: ("paper", "study", "research", "explain", "literature"),
}

_PROMPT = (
    "Classify this command. Intents: {intents}\nAnswer as JSON with intent and confidence.\nCommand: {text}"
)


@dataclass(frozen=True, slots=True)
class Classification:
    """An intent, how sure of it the classifier is, and who that was."""

    intent: Intent
    confidence: float
    by: Literal["model", "keywords"]


@pipeline("nlp_processor")
async def ask_for_intent(batching: Batching, text: str) -> Classification:
    """Let the model classify a command; raises what the upstream raises, and rejections while open."""
    prompt = _PROMPT.format(intents=", ".join(Intent), text=text)
    answer = await batching.complete(prompt, max_tokens=CLASSIFICATION_TOKENS)
    try:
        found = json.loads(answer)
        confidence = min(1.0, max(0.0, float(found["confidence"])))
        return Classification(Intent(found["intent"]), confidence, "model")
    except (LookupError, TypeError, ValueError) as error:
        raise MalformedAnswerError("the model's classification is not what was asked for") from error


def _is_classification(found: Any) -> bool:
    """Tell whether something is what the cache keeps: Redis may hold whatever others have put there."""
    match found:
        case (str(intent), float(confidence)):
            return intent in set(Intent) and 0.0 <= confidence <= 1.0
        case _:
            return False


def classify_by_keywords(text: str) -> Classification:
    """Classify without a model; research when nothing tells."""
    words = text.lower()
    for intent, keywords in _KEYWORDS.items():
        if any(keyword in words for keyword in keywords):
            return Classification(intent, KEYWORD_CONFIDENCE, "keywords")
    return Classification(Intent.RESEARCH, 0.0, "keywords")


class NlpProcessor:
    """Classifies commands, whatever state the model is in."""

    def __init__(self, services: Services) -> None:
        local = Cache[Any, Any](MAX_CLASSIFICATIONS, ttl=CLASSIFICATION_TTL, name="nlp_processor")

        @cache(CLASSIFICATION_TTL, backend=services.second_level.below(local), condition=_is_classification)
        async def classification(text: str) -> tuple[str, float]:
            found = await ask_for_intent(services.batching, text)
            return found.intent.value, found.confidence

        self._classification = classification
        services.caches["nlp_processor"] = self.get_cache_stats
        resize = cache_size(local, entries_per_mb=ENTRIES_PER_MB)
        services.resizable.append(("cache_size_mb", resize))

    def get_cache_stats(self) -> dict[str, Any]:
        """Return the figures of the cache of classifications."""
        return self._classification.stats()

    async def classify(self, text: str) -> Classification:
        """Return what a command asks for; never fails for the model's sake."""
        try:
            intent, confidence = await self._classification(text)
        except MODEL_FAILURES:
            return classify_by_keywords(text)
        return Classification(Intent(intent), confidence, "model")


def attach(_app: FastAPI, services: Services) -> None:
    """Offer classification to the other parts."""
    services.nlp_processor = NlpProcessor(services)
