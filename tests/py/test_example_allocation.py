"""The example's allocator: sampled from the start, really resizing, and living through a recorded week."""

import asyncio
import errno
import math
from types import SimpleNamespace

import pytest

import allocation
import command_line
import replay as replaying
from allocation import Allocation
from orchestrator import limit_calls
from replay import Recording, Replay, generate
from resilience import get_pipeline
from resilience.allocator import PredictiveResourceAllocator
from resilience.fastapi import RequestMetrics
from settings import Settings
from support.example import example_server

STEP = 1800.0
WEEK = 336  # steps


def recording(weeks=2):
    loads = [round(60 - 50 * math.cos(2 * math.pi * step / 48)) for step in range(weeks * WEEK)]
    return Recording("a sine", 0.0, STEP, [float(load) for load in loads])


def services(**settings):
    return SimpleNamespace(
        settings=Settings(_env_file=None, **settings),
        resilience=SimpleNamespace(metrics=RequestMetrics()),
        resizable=[],
    )


async def test_a_week_is_learned_and_the_next_one_lived_through_with_real_resizes():
    played = Replay(recording(), seconds=0.001, make=PredictiveResourceAllocator)
    workers = []
    played.allocator.bind("workers", workers.append)
    played.learn()
    assert played.allocator.get_predictions()["history_size"] == WEEK
    await played.allocator.start_monitoring()
    async with asyncio.timeout(60):
        await played.run()
        while played.allocator.get_predictions()["history_size"] < 2 * WEEK:
            await asyncio.sleep(0)
    await played.allocator.stop_monitoring()
    report = played.allocator.get_predictions()
    assert report["problems"] == []
    assert report["predictions"]["confidence"] > 0.8
    assert len(set(workers)) > 3  # up and down with the day
    assert played.progress()["share"] == 1.0


async def test_a_worker_that_cannot_count_its_siblings_starts_and_allocates_nevertheless(monkeypatch, caplog):
    def no_room():
        raise OSError(errno.ENOSPC, "on purpose")

    monkeypatch.setattr(allocation, "worker_processes", no_room)
    chosen = Allocation(services())
    async with chosen.running():
        assert chosen.report()["optimization_status"] == "active"
    assert "the number of workers stays as it is: [Errno 28] on purpose" in caplog.text


def test_without_recordings_a_generator_stands_in(monkeypatch):
    monkeypatch.delenv("RESILIENCE_DATA", raising=False)
    drawn = replaying.load("nab_elb_request_count")
    assert drawn.name == "generated"
    assert drawn.requests == generate(1).requests
    assert max(drawn.requests) > 3 * sum(drawn.requests) / len(drawn.requests)


def test_an_unknown_recording_is_refused_with_the_names_there_are(monkeypatch, tmp_path):
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "quiet.csv.xz").touch()
    monkeypatch.setenv("RESILIENCE_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="replay must be one of quiet, got 'loud'"):
        replaying.load("loud")


def test_the_pool_begins_with_its_own_size_and_the_limits_hold_it():
    report = Allocation(services(http_pool_size=150)).report()
    assert report["current_allocations"] == {"workers": 5, "connections": 150, "cache_size_mb": 100}
    assert report["resource_limits"]["max_connections"] == 150
    assert Allocation(services()).report()["resource_limits"] == {
        "max_workers": 20,
        "max_connections": 100,
        "max_cache_size_mb": 500,
    }


def test_options_become_settings(monkeypatch):
    monkeypatch.delenv("RESILIENCE_REPLAY", raising=False)
    monkeypatch.setenv("RESILIENCE_PORT", "8003")
    command_line.read(["--replay", "nab_elb_request_count", "--port", "0"])
    try:
        settings = Settings(_env_file=None)
        assert (settings.replay, settings.port) == ("nab_elb_request_count", 0)
    finally:
        monkeypatch.delenv("RESILIENCE_REPLAY")
        monkeypatch.setenv("RESILIENCE_PORT", "8003")


def test_monitoring_starts_with_the_server_and_its_check_earns_its_points():
    with example_server() as server:
        report = server.get("/api/metrics/comprehensive").json()
        predictions = report["components"]["predictive_allocation"]
        assert predictions["optimization_status"] == "active"
        assert predictions["predictions"].keys() >= {"expected_rpm", "confidence", "trend"}
        assert report["score_details"]["predictive_allocation"]["points"] == 5
        assert b"resilience_allocator_active 1.0" in server.get("/metrics").body


def test_calls_of_the_model_are_limited_to_what_the_allocator_gives_the_pool():
    shared = services(http_pool_size=30)
    before = get_pipeline("ollama")._members
    limit_calls(shared)
    places = get_pipeline("ollama")._members.bulkhead
    get_pipeline("ollama").replace(bulkhead=before.bulkhead)
    assert places.max_concurrent == 30
    allocator = Allocation(shared).allocator
    for _ in range(30):
        allocator.observe({"connections": 90.0, "rpm": 10.0})
    assert allocator.get_predictions()["current_allocations"]["connections"] > 30
    assert places.max_concurrent == allocator.get_predictions()["current_allocations"]["connections"]


def test_a_replay_is_seen_and_earns_no_points():
    with example_server(replay="nab_elb_request_count", replay_seconds="3600") as server:
        report = server.get("/api/allocation").json()
        assert report["history_size"] >= 2016
        assert report["replay"]["share"] >= 0.5
        details = server.get("/api/metrics/comprehensive").json()["score_details"]
        assert details["predictive_allocation"]["points"] == 0
