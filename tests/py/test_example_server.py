"""The HTTP contract of the example server, over real sockets."""

import json

import pytest

from support.example import Program, example_server

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def server():
    with example_server() as program:
        yield program


def test_a_command_is_classified_dispatched_and_answered(server: Program):
    answer = server.post("/api/nl/process", {"text": "What is the stock price trend?", "session_id": "s-1"})
    result = answer.json()
    assert answer.status == 200
    assert result["intent"] == "financial"
    assert result["classified_by"] == "model"
    assert result["handled_by"] == {"kind": "agent", "id": "financial"}
    assert result["session_id"] == "s-1"
    assert result["output"]
    assert not result["degraded"]


def test_equal_commands_get_equal_answers(server: Program):
    answers = [server.post("/api/nl/process", {"text": "Explain this paper"}).json() for _ in range(2)]
    assert answers[0] == answers[1]


def test_a_briefing_is_handled_by_the_workflow(server: Program):
    result = server.post("/api/nl/process", {"text": "An overview of batteries, please"}).json()
    assert result["handled_by"] == {"kind": "workflow", "id": "briefing"}


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "  "}, {"text": 3}, {"text": "x" * 9_000}, b"no json"]
)
def test_a_bad_command_is_a_problem_that_says_what_is_wrong(server: Program, body):
    answer = server.post("/api/nl/process", body)
    assert answer.status == 422
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json()["errors"][0]["msg"]


def test_healthz_says_ok_and_nothing_else(server: Program):
    answer = server.get("/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_health_reports_dependencies_and_uptime_but_no_host(server: Program):
    answer = server.get("/health")
    body = answer.json()
    assert answer.status == 200
    assert body["dependencies"]["language_model"]["status"] == "up"
    assert body["uptime_seconds"] > 0
    assert b"127.0.0.1" not in answer.body


def test_ready_says_so_once_started(server: Program):
    answer = server.get("/ready")
    assert (answer.status, answer.json()["status"]) == (200, "ready")


def test_every_response_carries_a_correlation_id(server: Program):
    for path in ("/healthz", "/no/such/path", "/api/agents"):
        assert len(server.get(path).headers["X-Correlation-ID"]) == 32
    assert server.post("/api/nl/process", {}).headers["X-Correlation-ID"]


def test_a_well_formed_correlation_id_is_kept_and_any_other_replaced(server: Program):
    assert server.get("/healthz", {"X-Correlation-ID": "abc-123"}).headers["X-Correlation-ID"] == "abc-123"
    for bad in ("x" * 129, "a b", "<b>", "caf\u00e9", ""):
        given = server.get("/healthz", {"X-Correlation-ID": bad}).headers["X-Correlation-ID"]
        assert given != bad
        assert len(given) == 32


def test_an_unknown_path_is_a_problem(server: Program):
    answer = server.get("/no/such/path")
    assert (answer.status, answer.headers["Content-Type"]) == (404, PROBLEM)
    assert answer.json()["correlation_id"] == answer.headers["X-Correlation-ID"]


def test_metrics_are_measured_by_the_process(server: Program):
    before = server.get("/api/metrics").json()["metrics"]
    server.get("/healthz")
    after = server.get("/api/metrics").json()["metrics"]
    assert after["requests"]["total"] == before["requests"]["total"] + 2
    assert after["requests"]["active"] == 1
    assert after["process"]["uptime_seconds"] > before["process"]["uptime_seconds"]
    assert after["process"]["memory_rss_bytes"] > 1_000_000


def test_agents_are_listed_and_run(server: Program):
    agents = [agent["id"] for agent in server.get("/api/agents").json()]
    assert agents == ["research", "financial"]
    for agent in agents:
        run = server.post(f"/api/agents/{agent}/run", {"input": "gold"}).json()
        assert run["agent"] == agent
        assert run["completion_tokens"] > 0
        assert not run["is_fallback"]


def test_an_agent_streams_tokens_and_ends_with_done(server: Program):
    answer = server.post("/api/agents/research/run", {"input": "gold", "stream": True})
    events = [block.split("\n", 1) for block in answer.body.decode().strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    text = "".join(json.loads(data.removeprefix("data: ")).get("text", "") for _, data in events)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert set(kinds[:-1]) == {"token"}
    assert kinds[-1] == "done"
    assert text == server.post("/api/agents/research/run", {"input": "gold"}).json()["output"]


def test_a_workflow_runs_its_agents_in_stages(server: Program):
    assert [workflow["id"] for workflow in server.get("/api/workflows").json()] == ["briefing"]
    run = server.post("/api/workflows/briefing/run", {"input": {"text": "wind power"}}).json()
    assert [step["agent"] for step in run["steps"]] == ["research", "financial", "research"]
    assert run["output"] == run["steps"][-1]["output"]


@pytest.mark.parametrize("path", ["/api/agents/nobody/run", "/api/workflows/nothing/run"])
def test_an_unknown_agent_or_workflow_is_404_and_names_those_there_are(server: Program, path):
    answer = server.post(path, {"input": {"text": "x"} if "workflows" in path else "x"})
    assert answer.status == 404
    assert "there are:" in answer.json()["detail"]


def test_a_workflow_without_a_text_is_422(server: Program):
    assert server.post("/api/workflows/briefing/run", {"input": {}}).status == 422
