"""What the example keeps of its runs: in SQLite, in PostgreSQL, and while the database is away."""

import asyncio
import sqlite3
import threading
import time

import pytest
from fastapi import FastAPI

import run_log
import runs as runs_part
from resilience.connections import DatabasePool
from resilience.fastapi import install
from run_log import RunLog
from services import Services
from settings import Settings
from support.example import Program, example_server
from support.postgres_server import postgres_server  # noqa: F401 - a fixture
from support.until import settle


@pytest.fixture(scope="module")
def server():
    with example_server() as program:
        yield program


def eventually(read, wanted, limit=120.0):
    """Read until it is as wanted: records are written behind the requests."""
    end = time.monotonic() + limit
    found = read()
    while not wanted(found):
        assert time.monotonic() < end, found
        found = read()
    return found


def runs(program: Program):
    return program.get("/api/runs").json()


def make_runs(program: Program):
    program.post("/api/agents/research/run", {"input": "gold"})
    program.post("/api/workflows/briefing/run", {"input": {"text": "wind"}})
    program.post("/api/agents/financial/run", {"input": "gold", "stream": True})


def test_runs_and_usage_are_kept_in_a_file(server: Program):
    make_runs(server)
    found = eventually(lambda: runs(server), lambda rows: len(rows) == 6)
    assert found == sorted(found, key=lambda run: -run["at"])
    counts = {}
    for run in found:
        counts[run["kind"], run["name"], run["status"]] = (
            counts.get((run["kind"], run["name"], run["status"]), 0) + 1
        )
    assert counts == {
        ("agent", "research", "answered"): 3,
        ("agent", "financial", "answered"): 2,
        ("workflow", "briefing", "answered"): 1,
    }
    streamed = next(run for run in found if run["name"] == "financial" and run["completion_tokens"] is None)
    assert streamed["seconds"] > 0
    usage = server.get("/api/usage").json()
    chat = next(each for each in usage if each["operation"] == "chat")
    assert chat["calls"] >= 2
    assert chat["prompt_tokens"] > 0
    assert chat["completion_tokens"] > 0


@pytest.mark.parametrize("path", ["/api/runs?limit=0", "/api/runs?limit=501", "/api/usage?seconds=0"])
def test_a_question_out_of_range_is_422(server: Program, path):
    assert server.get(path).status == 422


def test_health_and_metrics_show_the_pools_with_their_figures(server: Program):
    make_runs(server)
    dependencies = server.get("/health").json()["dependencies"]
    database = dependencies["database"]
    assert (database["status"], database["required"]) == ("up", False)
    assert (database["figures"]["kind"], database["figures"]["size"]) == ("sqlite", 5)
    assert dependencies["language_model"]["figures"]["reuse_rate"] > 0
    pooling = server.get("/api/metrics/comprehensive").json()["components"]["connection_pooling"]
    assert pooling["pools"] == {"http": 100, "database": 5, "redis": None}
    assert pooling["no_redis"] == "REDIS_URL names none"
    assert pooling["databases"]["runs"]["breakers"] == {
        "read": "closed",
        "write": "closed",
        "connect": "closed",
    }
    assert pooling["connections"]["http"]["granted"] > 0
    assert set(pooling["improvement_by_scheme"]) == {"http", "https"}
    assert server.get("/api/metrics").json()["metrics"]["runs"]["lost"] == 0


def test_a_file_removed_under_the_server_is_seen(tmp_path):
    def dependency():
        return program.get("/health").json()["dependencies"]["database"]

    with example_server(data_folder=str(tmp_path), check_interval="0.1") as program:
        eventually(dependency, lambda seen: seen["status"] == "up")
        (tmp_path / "unified_server.db").unlink()
        seen = eventually(dependency, lambda seen: seen["status"] == "down")
        assert seen["error"] == "FileNotFoundError"
        assert program.get("/health").json()["status"] == "degraded"


def test_records_outlive_the_server(tmp_path):
    with example_server(data_folder=str(tmp_path)) as program:
        program.post("/api/agents/research/run", {"input": "gold"})
    with sqlite3.connect(tmp_path / "unified_server.db") as database:
        assert database.execute("select name, status from runs").fetchall() == [("research", "answered")]
    database.close()
    with example_server(data_folder=str(tmp_path)) as program:
        assert [run["name"] for run in runs(program)] == ["research"]


def test_runs_are_kept_in_postgresql_and_its_restart_fails_none(postgres_server):  # noqa: F811 - pytest's way
    with example_server(database_url=postgres_server.dsn) as program:
        make_runs(program)
        eventually(lambda: runs(program), lambda rows: len(rows) == 6)
        postgres_server.stop()
        assert program.post("/api/agents/research/run", {"input": "silver"}).status == 200
        assert program.get("/api/runs").status == 503
        postgres_server.start()
        health = program.get("/health").json()["dependencies"]["database"]
        assert health["figures"]["kind"] == "postgresql"
        assert "127.0.0.1" not in str(health)


async def test_records_are_stored_though_the_oldest_cannot_be_removed(tmp_path, monkeypatch, caplog):
    trim = run_log._TRIM
    async with DatabasePool(f"sqlite:///{tmp_path / 'runs.db'}") as database:
        log = RunLog(database, kept=1)
        await log.newest(1)
        monkeypatch.setattr(run_log, "_TRIM", "delete from nothing_like_{table} where $1 > 0")
        for at in (1.0, 2.0):
            with log.run("agent", "research") as run:
                run.at = at
            await log._batcher.flush()
            await settle()
        assert log.figures() == {"recorded": 2, "lost": 0, "pending": 0}
        assert caplog.text.count("old records can't be removed: OperationalError") == 1
        monkeypatch.setattr(run_log, "_TRIM", trim)
        with log.run("agent", "research") as run:
            run.at = 3.0
        await log.close()
        assert log.figures() == {"recorded": 3, "lost": 0, "pending": 0}
        left = [row["at"] for row in await log.newest(5)]
        assert left == [3.0, 2.0], "it is tried again after the next batch"


async def test_a_server_that_may_not_write_its_last_records_closes_the_database_nevertheless(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    app, before = FastAPI(), set(threading.enumerate())
    services = Services(Settings(data_folder=tmp_path, _env_file=None), install(app))
    runs_part.attach(app, services)

    async def cut_off():
        raise asyncio.CancelledError  # as when the time for closing is over

    services.runs.close = cut_off
    with pytest.raises(asyncio.CancelledError):
        async with services.running():
            assert await services.runs.newest(1) == []
    databases = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
    for thread in set(databases) - before:  # the loop's own threads end with it
        await asyncio.to_thread(thread.join, 30)  # the process would wait for it as well
        assert not thread.is_alive()
