"""The example's caches: Redis below them where REDIS_URL names one, and whole responses from memory."""

import json
import time

import pytest

from resilience import RedisCache
from support.example import example_server
from support.redis_server import redis_server

__all__ = ["redis_server"]

COMMAND = {"text": "Explain this paper"}


@pytest.fixture
def with_redis(monkeypatch, redis_server):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return redis_server


def redis_of(server):
    return server.get("/health").json()["dependencies"]["redis"]


def await_redis(server, status):
    """Ask until the background check has found out."""
    deadline = time.monotonic() + 120
    while redis_of(server)["status"] != status:
        assert time.monotonic() < deadline, f"Redis is not {status}"


def test_a_second_process_answers_from_what_the_first_left_in_redis(with_redis):
    with example_server(check_interval="0.1") as first:
        answers = [first.post("/api/nl/process", COMMAND).json() for _ in range(2)]
        assert answers[0] == answers[1]
        caches = first.get("/api/metrics/cache").json()["caches"]
        assert caches["ollama_responses"]["hits"] == caches["nlp_processor"]["hits"] == 1
        assert set(caches["redis"]) == {
            "keyspace_hits",
            "keyspace_misses",
            "hit_rate",
            "evicted_keys",
            "used_memory",
        }
        pooling = first.get("/api/metrics/comprehensive").json()["components"]["connection_pooling"]
        assert pooling["pools"]["redis"] == RedisCache.max_concurrent
        assert pooling["no_redis"] is None
    with example_server(check_interval="0.1") as second:
        assert second.post("/api/nl/process", COMMAND).json() == answers[0]
        redis = redis_of(second)
        assert redis["status"] == "up"
        assert (redis["figures"]["hits"], redis["figures"]["errors"]) == (2, 0)
        assert str(with_redis.port) not in json.dumps(redis), "no address is shown"


def test_without_redis_every_process_serves_alone_and_takes_it_up_again(with_redis):
    with example_server(check_interval="0.05") as server:
        server.post("/api/nl/process", COMMAND)
        await_redis(server, "up")
        with_redis.kill()
        for text in ("Explain this paper", "Explain another paper"):
            answer = server.post("/api/nl/process", {"text": text})
            assert (answer.status, answer.json()["degraded"]) == (200, False)
        await_redis(server, "down")
        health = server.get("/health")
        assert (health.status, health.json()["status"]) == (200, "degraded")
        assert server.get("/api/metrics/cache").json()["caches"]["redis"] == {"status": "unavailable"}
        with_redis.start()
        await_redis(server, "up")
        assert "keyspace_hits" in server.get("/api/metrics/cache").json()["caches"]["redis"]


def test_lists_are_served_from_memory_and_unchanged_ones_are_304(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    with example_server() as server:
        for path in ("/api/agents", "/api/workflows"):
            first, again = server.get(path), server.get(path)
            assert first.headers["Cache-Control"] == "public, max-age=60"
            assert (again.body, again.headers["Age"]) == (first.body, "0")
            assert again.headers["X-Correlation-ID"] != first.headers["X-Correlation-ID"]
            unchanged = server.get(path, {"If-None-Match": again.headers["ETag"]})
            assert (unchanged.status, unchanged.body) == (304, b"")
        assert "Age" not in server.get("/api/metrics/cache").headers, "figures are never kept"
        metrics = server.get("/metrics").body.decode()
        assert 'route="/api/agents"' in metrics
