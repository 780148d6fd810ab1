"""The embedders of the example, without a server."""

import asyncio
import sys

import pytest

from support.example import EXAMPLE, Program, example_server

sys.path.insert(0, str(EXAMPLE))

from embedders import HashingEmbedder, make_embedder


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_texts_that_share_words_are_near_each_other():
    embedder = make_embedder("hashing")
    assert isinstance(embedder, HashingEmbedder)
    vectors = await embedder.embed(["the breaker is open", "the breakers are open", "rain in the mountains"])
    assert [len(vector) for vector in vectors] == [embedder.dimensions] * 3
    assert cosine(vectors[0], vectors[0]) == pytest.approx(1)
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])


async def test_a_text_has_the_same_vector_in_any_batch():
    embedder = HashingEmbedder()
    alone, (first, _) = await asyncio.gather(embedder.embed(["alone"]), embedder.embed(["alone", "other"]))
    assert alone == [first]


async def test_a_text_without_words_has_a_vector_too():
    assert await HashingEmbedder().embed(["!?"]) == [[0.0] * 256]


@pytest.fixture(scope="module")
def server():
    with example_server() as program:
        yield program


def test_embeddings_come_through_the_batcher(server: Program):
    answer = server.post("/api/embeddings", {"texts": ["one text", "another", "one text"]})
    assert answer.status == 200
    result = answer.json()
    assert result["model"] == "hashing-256"
    assert [len(vector) for vector in result["embeddings"]] == [result["dimensions"]] * 3
    assert result["embeddings"][0] == result["embeddings"][2] != result["embeddings"][1]
    batching = server.get("/api/metrics/comprehensive").json()["components"]["request_batching"]
    assert batching["embedding_batcher"]["total_requests"] >= 3


def test_commands_come_through_the_batcher(server: Program):
    assert server.post("/api/nl/process", {"text": "explain a study of batching"}).status == 200
    batching = server.get("/api/metrics/comprehensive").json()["components"]["request_batching"]
    assert batching["llm_batcher"]["total_requests"] >= 1
    assert batching["llm_batcher"]["failed_batches"] == 0


@pytest.mark.parametrize(
    "body", [{"texts": []}, {"texts": [""]}, {"texts": "text"}, {}, {"texts": ["x"] * 257}]
)
def test_a_bad_list_of_texts_is_refused(server: Program, body):
    assert server.post("/api/embeddings", body).status == 422
