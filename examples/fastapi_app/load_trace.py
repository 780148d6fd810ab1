"""Arrivals of LLM requests: recorded ones, or a seeded generator whose statistics follow the recording.

The recording is `load/arrivals_azure_llm_conv.csv.xz` in the folder that `RESILIENCE_DATA` names: one hour
of conversation requests from the Azure Public Dataset (AzureLLMInferenceTrace_conv, CC BY 4.0).
"""

import csv
import lzma
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path

RECORDING = "load/arrivals_azure_llm_conv.csv.xz"

# Of the recording: seconds between arrivals with their coefficient of variation, logarithms of tokens.
_MEAN_GAP, _GAP_VARIATION = 0.1808, 1.094
_CONTEXT_LOG, _CONTEXT_RANGE = (6.633, 0.985), (2, 14_050)
_GENERATED_LOG, _GENERATED_RANGE = (5.019, 0.859), (7, 1_000)
# Its rate rises by half until the middle of the hour and falls again.
_SWELL, _HOUR, _COUNT = 0.3, 3_500.0, 19_366


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: seconds since the first, and its tokens."""

    at: float
    context_tokens: int
    generated_tokens: int


def load_arrivals(seed: int) -> tuple[list[Arrival], str]:
    """Return the arrivals and where they come from."""
    folder = os.environ.get("RESILIENCE_DATA")
    recording = Path(folder) / RECORDING if folder else None
    if recording is not None and recording.exists():
        return read_recording(recording), "recorded: AzureLLMInferenceTrace_conv"
    return generate(seed), f"generated after AzureLLMInferenceTrace_conv, seed {seed}"


def read_recording(path: Path) -> list[Arrival]:
    """Read a recording of `arrival_s,context_tokens,generated_tokens` rows."""
    with lzma.open(path, "rt", encoding="ascii") as lines:
        return [
            Arrival(float(row["arrival_s"]), int(row["context_tokens"]), int(row["generated_tokens"]))
            for row in csv.DictReader(lines)
        ]


def generate(seed: int, count: int = _COUNT) -> list[Arrival]:
    """Draw arrivals: gamma gaps under a slow swell, log-normal token counts."""
    dice = random.Random(seed)  # noqa: S311 - a load is to repeat, not to be secret
    shape = 1 / _GAP_VARIATION**2
    arrivals, at = [], 0.0
    for _ in range(count):
        arrivals.append(Arrival(at, _tokens(dice, _CONTEXT_LOG, _CONTEXT_RANGE), _generated(dice)))
        rate = 1 + _SWELL * math.sin(2 * math.pi * (at / _HOUR - 0.25))
        at += dice.gammavariate(shape, _MEAN_GAP / shape) / rate
    return arrivals


def _tokens(dice: random.Random, log: tuple[float, float], bounds: tuple[int, int]) -> int:
    return min(bounds[1], max(bounds[0], round(dice.lognormvariate(*log))))


def _generated(dice: random.Random) -> int:
    return _tokens(dice, _GENERATED_LOG, _GENERATED_RANGE)
