"""The validation of the example against live servers: full on a sound one, and on a broken one it says why.

What the speed of this machine decides is never required to pass: `validate_100_score.py` itself does that.
"""

import contextlib
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support.example import call, example_server
from support.postgres_server import postgres_server
from support.redis_server import redis_server
from support.validation import SHORT, await_breaker, await_dependency, mend, run, validate
from validate_100_score import parse

__all__ = ["postgres_server", "redis_server"]

ADMIN_TOKEN = "a-token-for-the-tests-of-this-server"  # noqa: S105 - it opens nothing else
WORK = "agents, workflows and commands run"
LOAD = ("--seconds", "3", "--speed", "30", "--recovery", "60")
SETTINGS = {"recovery_timeout": "0.2", "check_interval": "0.1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(folder):
    with example_server(data_folder=str(folder), database_timeout="0.2", **SETTINGS) as program:
        yield program


@pytest.fixture(scope="module")
def cold(server):
    """The verdict on a server whose caches are empty at first."""
    return validate(server, *LOAD)


@pytest.fixture(scope="module")
def warm(server, cold):
    """The verdict after the same load once more."""
    return validate(server, *LOAD)


@pytest.fixture
def sound(server, warm):
    """A server that has earned every point, and is mended afterwards."""
    yield server
    mend(server)


def test_caches_that_miss_cost_their_points_and_each_is_named(cold):
    assert cold.score < 100
    assert cold.status == 1
    assert "nlp_processor" in cold.lost["cache_hit_rate"]
    assert "ollama_responses" in cold.lost["cache_hit_rate"]


def test_a_sound_server_loses_nothing_but_what_a_busy_machine_may_cost(warm):
    assert warm.wrong == set(), warm.printed
    assert warm.is_consistent


def check_that_the_language_model_is_named(program):
    await_dependency(program, "language_model", "down")
    verdict = validate(program, *SHORT)
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert "language_model" in verdict.lost["connection_pooling"]
    assert "ollama" in verdict.lost["circuit_breakers"]
    assert "without the language model" in verdict.failed[WORK]
    assert "language_model" in verdict.failed["every dependency is up"]


def test_a_language_model_that_is_gone_is_named_by_its_pool_its_breakers_and_its_users(sound):
    sound.post("/api/test/upstream/kill")
    check_that_the_language_model_is_named(sound)


def test_a_language_model_that_fails_is_named_as_well(sound):
    sound.post("/api/test/upstream/behave", {"mode": "fail"})
    check_that_the_language_model_is_named(sound)


def test_a_language_model_that_hangs_is_named_as_well():
    with example_server(upstream_timeout="0.3", **SETTINGS) as program:
        program.post("/api/test/upstream/behave", {"mode": "hang"})
        check_that_the_language_model_is_named(program)


def test_a_database_that_another_process_has_locked_is_named_by_its_breaker(sound, folder):
    with contextlib.closing(sqlite3.connect(folder / "unified_server.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        sound.post("/api/agents/research/run", {"input": "a run that can't be recorded"})
        await_breaker(sound, "database:write", "open")
        verdict = validate(sound, *SHORT)
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert "'database:write': 'open'" in verdict.lost["circuit_breakers"]


def test_after_every_break_the_server_is_as_sound_as_before(sound):
    mend(sound)
    again = validate(sound, *LOAD)
    assert again.wrong == set(), again.printed


def assert_away_is_named(program, dependency):
    """Wait until a dependency is seen to be away, and check what that costs."""
    await_dependency(program, dependency, "down")
    verdict = validate(program, *SHORT)
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert dependency in verdict.lost["connection_pooling"]
    assert dependency in verdict.failed["every dependency is up"]


def test_a_database_that_is_away_is_named_by_its_pool(postgres_server):
    with example_server(database_url=postgres_server.dsn, **SETTINGS) as program:
        postgres_server.stop()
        assert_away_is_named(program, "database")


def test_redis_that_is_away_is_named_by_its_pool(redis_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with example_server(**SETTINGS) as program:
        await_dependency(program, "redis", "up")
        redis_server.kill()
        assert_away_is_named(program, "redis")


def test_breakers_that_stay_open_are_named_and_so_are_the_routes_that_fail_for_them():
    with example_server(recovery_timeout="3600") as program:
        program.post("/api/test/circuit-breaker/trigger-failure/embeddings")
        verdict = validate(program, *SHORT)
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert "'embeddings': 'open'" in verdict.lost["circuit_breakers"]
    assert "'ollama': 'open'" in verdict.lost["circuit_breakers"]
    assert "POST /api/embeddings 503" in verdict.lost["success_rate"]
    assert "ollama is open" in verdict.failed["a live breaker recovers"]


def test_pool_allocator_test_routes_and_batchers_that_are_switched_off_or_idle_are_named():
    settings = {"connection_reuse": "false", "replay": "any", "test_endpoints": "false"}
    with example_server(**settings) as program:
        verdict = validate(program, "--seconds", "1.5", "--speed", "1", "--recovery", "0.1")
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert "improvement {'http': " in verdict.lost["connection_pooling"]
    assert "recording" in verdict.lost["predictive_allocation"]
    assert "mounted False" in verdict.lost["breaker_testing"]
    assert "openings 0" in verdict.lost["circuit_breakers"]
    assert "llm_batcher 0." in verdict.lost["request_batching"]
    unmounted = "trigger-failure/ollama?failure_count=3 is answered with 404"
    assert unmounted in verdict.failed["a live breaker recovers"]


def test_a_server_that_wants_an_admins_token_gets_it_from_the_environment(monkeypatch):
    settings = {"environment": "production", "test_endpoints": "1", "admin_token": ADMIN_TOKEN}
    with example_server(**settings) as program:
        without = validate(program, *SHORT)
        monkeypatch.setenv("RESILIENCE_ADMIN_TOKEN", ADMIN_TOKEN)
        admitted = validate(program, "--seconds", "0.5")
    assert without.failed["opens on demand"].endswith("is answered with 401")
    assert "triggered_openings 0" in without.lost["breaker_testing"]
    assert admitted.wrong <= {"cache_hit_rate"}, admitted.printed


@contextlib.contextmanager
def blocked(program):
    """Keep the event loop of a server busy: whatever it is asked has to wait for its turn."""
    texts = [" ".join(f"word{n}" for n in range(500))] * 100
    body = json.dumps({"texts": texts}).encode()
    over = threading.Event()

    def ask():
        while not over.is_set():
            call("POST", f"{program.url}/api/embeddings", body)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in asking:
            thread.join()


def test_a_blocked_event_loop_costs_the_response_times_though_each_answer_is_quick():
    with example_server(**SETTINGS) as program, blocked(program):
        verdict = validate(program, *SHORT)
    assert (verdict.status, verdict.score < 100) == (1, True)
    assert "event_loop_lag_ms" in verdict.lost["response_times"]


def test_without_a_server_there_is_nothing_to_validate():
    done = run("http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("there is no server: ")
    assert done.stdout == ""


def test_another_server_is_told_from_the_example():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        done = run(f"http://127.0.0.1:{other.server_port}")
    assert done.returncode == 1
    assert done.stderr == "this is another server: GET /healthz is answered with 501\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--speed", "0"],
        ["--seconds", "-1"],
        ["--recovery", "nan"],
        ["--url", "localhost:8003"],
        ["--seed", "x"],
    ],
)
def test_bad_options_are_refused_with_a_reason(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert f"error: argument {words[0]}" in capsys.readouterr().err
