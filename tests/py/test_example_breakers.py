"""The `/api/test` routes of the example server, and who may use them."""

import time

import pytest

from support.example import Program, example_server

STATUS = "/api/test/circuit-breaker/status"
TRIGGER = "/api/test/circuit-breaker/trigger-failure"
RESET = "/api/test/circuit-breaker/reset"
ADMIN_TOKEN = "a-token-for-the-tests-of-this-server"  # noqa: S105 - it opens nothing else


@pytest.fixture(scope="module")
def server():
    with example_server(recovery_timeout="60") as program:
        yield program


@pytest.fixture
def healthy(server: Program):
    yield server
    server.post("/api/test/upstream/start")
    server.post("/api/test/upstream/behave", {})
    for name in server.get(STATUS).json():
        server.post(f"{RESET}/{name}")


def test_triggering_failures_of_an_unknown_component_opens_a_fresh_breaker(server: Program):
    answer = server.post(f"{TRIGGER}/test?failure_count=3")
    body = answer.json()
    assert answer.status == 200
    assert body["component"] == "test"
    assert body["final_state"] == "open"
    assert body["failure_count"] == 3
    assert [result["attempt"] for result in body["test_results"]] == [1, 2, 3, 4]
    assert {result["status"] for result in body["test_results"]} == {"failed"}
    assert body["test_results"][0]["state"] == "closed"
    assert body["test_results"][0]["error"] == "Intentional failure 1"
    assert body["test_results"][3]["state"] == "open"
    assert "Intentional" not in body["test_results"][3]["error"]


def test_three_failures_are_the_default(server: Program):
    assert len(server.post(f"{TRIGGER}/test").json()["test_results"]) == 4


def test_a_fresh_breaker_leaves_no_trace(server: Program):
    server.post(f"{TRIGGER}/passing")
    assert "passing" not in server.get(STATUS).json()


@pytest.mark.parametrize("count", ["0", "101", "-1", "many", "1.5"])
def test_a_failure_count_outside_1_to_100_is_422(server: Program, count):
    answer = server.post(f"{TRIGGER}/test?failure_count={count}")
    assert answer.status == 422
    assert "failure_count" in answer.json()["detail"]


@pytest.mark.parametrize("count", [1, 100])
def test_the_bounds_of_the_failure_count_are_allowed(server: Program, count):
    body = server.post(f"{TRIGGER}/test?failure_count={count}").json()
    assert (body["final_state"], body["failure_count"]) == ("open", count)


def test_triggering_acts_on_the_live_breaker_and_reset_closes_it(healthy: Program):
    assert healthy.post(f"{TRIGGER}/ollama").json()["final_state"] == "open"
    status = healthy.get(STATUS).json()["ollama"]
    assert set(status) == {"state", "failure_count", "success_count", "last_failure_time"}
    assert (status["state"], status["failure_count"]) == ("open", 3)
    assert status["last_failure_time"] > 1.6e9
    assert healthy.get("/health").json()["status"] == "degraded"
    assert healthy.get("/circuit-breakers/health").status == 200
    strict = healthy.get("/circuit-breakers/health?strict=1")
    assert (strict.status, strict.json()["open"]) == (503, ["ollama"])
    assert int(strict.headers["Retry-After"]) >= 1
    assert healthy.post(f"{RESET}/ollama").json() == {"status": "reset", "component": "ollama"}
    assert healthy.get(STATUS).json()["ollama"]["state"] == "closed"


@pytest.mark.parametrize("kind", ["read", "write", "connect"])
def test_a_database_s_breaker_counts_the_failures_too_whatever_its_predicate_says(healthy: Program, kind):
    failures = 40  # its breakers judge by a rate of calls, too
    body = healthy.post(f"{TRIGGER}/database:{kind}?failure_count={failures}").json()
    assert body["final_state"] == "open"
    assert body["failure_count"] >= 1
    assert body["test_results"][0]["error"] == "Intentional failure 1"
    assert "is open" in body["test_results"][-1]["error"]
    healthy.post(f"{RESET}/database:{kind}")


def test_resetting_an_unknown_component_is_404(server: Program):
    answer = server.post(f"{RESET}/nothing")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_an_open_breaker_answers_with_the_fallback_and_asks_nobody(healthy: Program):
    healthy.post(f"{TRIGGER}/ollama")
    healthy.post(f"{TRIGGER}/nlp_processor")
    before = healthy.post("/api/test/upstream/behave", {}).json()["requests_by_path"]
    result = healthy.post("/api/nl/process", {"text": "the price of tea"}).json()
    after = healthy.post("/api/test/upstream/behave", {}).json()["requests_by_path"]
    assert result["degraded"]
    assert result["classified_by"] == "keywords"
    assert result["handled_by"]["id"] == "financial"
    assert after.get("/v1/chat/completions") == before.get("/v1/chat/completions")


def test_a_dead_upstream_opens_the_breaker_after_three_failures_and_everyone_is_answered(healthy: Program):
    healthy.post("/api/test/upstream/kill")
    results = [healthy.post("/api/agents/research/run", {"input": f"task {i}"}) for i in range(5)]
    assert [result.status for result in results] == [200] * 5
    assert all(result.json()["is_fallback"] for result in results)
    ollama = healthy.get("/circuit-breakers/health").json()["circuit_breakers"]["ollama"]
    assert ollama["state"] == "open"


def test_a_breaker_closes_again_after_the_upstream_returns():
    with example_server(recovery_timeout="0.1") as program:
        program.post("/api/test/upstream/kill")
        for i in range(4):
            program.post("/api/agents/research/run", {"input": f"task {i}"})
        program.post("/api/test/upstream/start")
        deadline = time.monotonic() + 120
        number = 0
        while program.get(STATUS).json()["ollama"]["state"] != "closed":
            assert time.monotonic() < deadline
            number += 1  # an equal task would be answered from the cache, and ask nobody
            program.post("/api/agents/research/run", {"input": f"again {number}"})
        assert not program.post("/api/agents/research/run", {"input": "another"}).json()["is_fallback"]


def test_dependencies_are_checked_as_often_as_the_settings_say():
    with example_server(check_interval="0.01") as program:
        deadline = time.monotonic() + 60
        while program.post("/api/test/upstream/behave", {}).json()["requests_by_path"]["/v1/models"] < 30:
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "behaviour", [{"mode": "fail"}, {"mode": "rate_limit", "retry_after": 2}, {"mode": "fail", "status": 503}]
)
def test_a_failing_upstream_is_answered_with_the_fallback(healthy: Program, behaviour):
    healthy.post("/api/test/upstream/behave", behaviour)
    run = healthy.post("/api/agents/research/run", {"input": "anything"})
    assert (run.status, run.json()["is_fallback"]) == (200, True)


def test_an_open_breaker_ends_a_stream_with_an_explicit_error(healthy: Program):
    healthy.post("/api/test/upstream/kill")
    for i in range(4):
        healthy.post("/api/agents/research/run", {"input": f"task {i}"})
    body = healthy.post("/api/agents/research/run", {"input": "x", "stream": True}).body.decode()
    assert body.startswith("event: error\n")
    assert "event: done" not in body


def test_unknown_behaviour_of_the_upstream_is_refused(server: Program):
    assert server.post("/api/test/upstream/behave", {"mode": "explode"}).status == 422


def test_transitions_are_listed_in_the_metrics(healthy: Program):
    healthy.post(f"{TRIGGER}/embeddings")
    transitions = healthy.get("/api/metrics").json()["metrics"]["circuit_breakers"]["transitions"]
    last = [t for t in transitions if t["name"] == "embeddings"][-1]
    assert (last["from"], last["to"]) == ("closed", "open")


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}])
def test_development_lets_loopback_through_but_not_a_forwarded_request(server: Program, headers):
    answer = server.post(f"{TRIGGER}/test", headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_rebound_host_name_is_no_loopback(server: Program):
    assert server.post(f"{TRIGGER}/test", headers={"Host": "evil.example"}).status == 401


def test_a_cross_site_post_to_an_admin_route_is_403(server: Program):
    assert server.post(f"{TRIGGER}/test", headers={"Origin": "https://evil.example"}).status == 403


def test_the_pages_of_the_server_itself_may_post(server: Program):
    assert server.post(f"{TRIGGER}/test", headers={"Origin": server.url}).status == 200


def test_production_has_no_test_routes_unless_enabled():
    with example_server(environment="production") as program:
        assert program.post(f"{TRIGGER}/test").status == 404
        assert program.get(STATUS).status == 404


def test_enabled_test_routes_take_only_an_admins_token():
    settings = {"environment": "production", "test_endpoints": "1", "admin_token": ADMIN_TOKEN}
    with example_server(**settings) as program:
        assert program.post(f"{TRIGGER}/test").status == 401
        assert program.post(f"{TRIGGER}/test", headers={"Authorization": "Bearer wrong"}).status == 403
        admitted = program.post(f"{TRIGGER}/test", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        assert admitted.status == 200
