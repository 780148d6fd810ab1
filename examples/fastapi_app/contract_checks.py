"""The checks of the HTTP contract, one a line of its page: each asks a running server and says what it saw."""

import asyncio
import re
from http import HTTPStatus
from uuid import uuid4

import aiohttp

from http_checks import Answer, Check, Finding, answers, ask, fetch, lacking, named, refuses

RECOVERY_PAUSE = 0.05
BREAKER = "ollama"
COMPONENTS = {
    "connection_pooling": {"status", "improvement", "pools"},
    "circuit_breakers": {"status", "protected_functions", "total_files", "test_endpoint"},
    "cache_monitoring": {"caches", "overall"},
    "request_batching": {"llm_batcher", "embedding_batcher"},
    "predictive_allocation": {"predictions", "current_allocations", "resource_limits", "history_size"},
}
CACHE = {"size", "hits", "misses", "hit_rate", "ttl_seconds"}
SCORED = {
    "response_times": 20,
    "success_rate": 20,
    "connection_pooling": 20,
    "circuit_breakers": 20,
    "breaker_testing": 5,
    "cache_hit_rate": 5,
    "request_batching": 5,
    "predictive_allocation": 5,
}
_PERCENT = re.compile(r"\d+(\.\d+)?%")
_SAMPLE = re.compile(r"[a-zA-Z_:][\w:]*(\{.*\})? (-?[\d.]+([eE][+-]?\d+)?|[+-]Inf|NaN)")


async def correlates(session: aiohttp.ClientSession) -> Finding:
    """Every response has a correlation id: the request's when it is well formed, else a new one."""
    seen = []
    for given in (f"check-{uuid4().hex}", 'not"well formed', None):
        headers = {} if given is None else {"X-Correlation-ID": given}
        seen.append(
            (
                given,
                (await fetch(session, "GET", "/healthz", headers=headers)).headers.get("X-Correlation-ID"),
            )
        )
    kept, *made = seen
    passed = kept[0] == kept[1] and all(new and new != given for given, new in made)
    return Finding("X-Correlation-ID", passed, "taken when well formed, else made" if passed else str(seen))


async def exposes_metrics(session: aiohttp.ClientSession) -> Finding:
    """Every line of the metrics is Prometheus text."""
    answer = await fetch(session, "GET", "/metrics")
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    bad = [line for line in lines if not _SAMPLE.fullmatch(line)]
    return Finding("GET /metrics", bool(lines) and not bad, f"{len(lines)} samples" if not bad else bad[0])


async def hides_hosts(session: aiohttp.ClientSession) -> Finding:
    """The health report names no host, port or version."""
    text = (await fetch(session, "GET", "/health")).text
    shown = re.findall(r"https?://|\d+\.\d+\.\d+\.\d+|localhost|version", text)
    return Finding("GET /health shows no hosts", not shown, str(shown or "none"))


async def counts_caches(session: aiohttp.ClientSession) -> Finding:
    """Each cache has its figures, Redis has them or is unavailable, and the overall ones add up."""
    body = (await ask(session, "GET", "/api/metrics/cache")).body
    caches = dict(body["caches"])
    redis = caches.pop("redis")
    missing = [name for name in ("ollama_responses", "nlp_processor") if lacking(caches.get(name), CACHE)]
    hits = sum(each["hits"] for each in caches.values()) + redis.get("keyspace_hits", 0)
    overall = body["overall"]
    passed = (
        not missing
        and overall["total_hits"] == hits
        and bool(_PERCENT.fullmatch(overall["overall_hit_rate"]))
    )
    passed &= redis.get("status") == "unavailable" or "used_memory" in redis
    return Finding("caches add up", passed, f"missing {missing}" if missing else f"{hits} hits")


async def opens_on_demand(session: aiohttp.ClientSession) -> Finding:
    """A fresh breaker opens after the failures asked for, and refuses the next call."""
    path = "/api/test/circuit-breaker/trigger-failure/validation?failure_count=3"
    body = (await ask(session, "POST", path)).body
    tries = body.get("test_results", [])
    states = [each["state"] for each in tries]
    passed = body.get("final_state") == "open" and body.get("failure_count") == 3  # noqa: PLR2004 - as asked for
    passed &= states[:1] == ["closed"] and states[-1:] == ["open"]
    passed &= [each["attempt"] for each in tries] == [1, 2, 3, 4] and all(each["error"] for each in tries)
    return Finding("trigger-failure", passed, f"{body.get('final_state')} by {states}")


async def lists_states(session: aiohttp.ClientSession) -> Finding:
    """The status route has each breaker with its four figures."""
    body = (await ask(session, "GET", "/api/test/circuit-breaker/status")).body
    keys = {"state", "failure_count", "success_count", "last_failure_time"}
    short = [name for name, figures in body.items() if lacking(figures, keys)]
    return Finding(
        "breaker status",
        bool(body) and not short,
        f"missing in {short}" if short else f"{len(body)} breakers",
    )


async def tells_strictly(session: aiohttp.ClientSession) -> Finding:
    """While a breaker is open the health route is 503 when asked strictly, and 200 again after a reset."""
    await ask(session, "POST", f"/api/test/circuit-breaker/trigger-failure/{BREAKER}?failure_count=3")
    asked = [await fetch(session, "GET", f"/circuit-breakers/health{query}") for query in ("?strict=1", "")]
    reset = await fetch(session, "POST", f"/api/test/circuit-breaker/reset/{BREAKER}")
    asked.append(await fetch(session, "GET", "/circuit-breakers/health?strict=1"))
    seen = [answer.status for answer in asked]
    passed = seen == [503, 200, 200] and reset.body == {"status": "reset", "component": BREAKER}
    return Finding(
        "strict breaker health, and reset", passed and "Retry-After" in asked[0].headers, str(seen)
    )


def recovers(within: float) -> Check:
    """Return a check that a live breaker opens after three failures, and closes by itself in so many seconds."""

    async def check(session: aiohttp.ClientSession) -> Finding:
        await ask(session, "POST", f"/api/test/circuit-breaker/trigger-failure/{BREAKER}?failure_count=3")
        state, answered_by = "unknown", "nobody"
        end = asyncio.get_running_loop().time() + within
        while state != "closed" and asyncio.get_running_loop().time() < end:
            task = {"input": f"recovery {uuid4().hex}"}
            run = await fetch(session, "POST", "/api/agents/research/run", task)
            state = (await ask(session, "GET", "/api/test/circuit-breaker/status")).body[BREAKER]["state"]
            answered_by = _who_answered(run)
            await asyncio.sleep(RECOVERY_PAUSE)
        seen = f"{BREAKER} is {state}, its last call was answered by {answered_by}"
        return Finding("a live breaker recovers", state == "closed", seen)

    return named("a live breaker recovers", check)


async def runs_each(session: aiohttp.ClientSession) -> Finding:
    """An agent, a workflow and a command are run and answered, by the language model and not for want of it."""
    task = f"Explain a recent paper, {uuid4().hex}"
    runs = {
        "/api/agents/research/run": {"input": task},
        f"/api/workflows/{await first_of(session, '/api/workflows')}/run": {"input": {"text": task}},
        "/api/nl/process": {"text": task},
    }
    seen = {path: await fetch(session, "POST", path, body) for path, body in runs.items()}
    found = {path: _who_answered(answer) for path, answer in seen.items()}
    failed = {path: who for path, who in found.items() if who != "the language model"}
    return Finding("agents, workflows and commands run", not failed, f"failed: {failed}" if failed else "all")


def _who_answered(run: Answer) -> str:
    if run.status != HTTPStatus.OK or not run.body.get("output"):
        return f"nobody: {run.status}"
    is_fallback = run.body.get("is_fallback") or run.body.get("degraded")
    return "the fallback, without the language model" if is_fallback else "the language model"


async def first_of(session: aiohttp.ClientSession, path: str) -> str:
    """Return the id of the first entry of a listing."""
    body = (await fetch(session, "GET", path)).body
    entries = body if isinstance(body, list) else next(iter(body.values()))
    return str(entries[0]["id"])


async def streams(session: aiohttp.ClientSession) -> Finding:
    """An agent's answer comes as server-sent events when asked for, to its end."""
    answer = await fetch(session, "POST", "/api/agents/research/run", {"input": uuid4().hex, "stream": True})
    is_stream = answer.headers.get("Content-Type", "").startswith("text/event-stream")
    *_, last = ["nothing", *re.findall("^event: (.*)", answer.text, re.MULTILINE)]
    return Finding("an agent streams", is_stream and last == "done", f"{answer.status}, ended by {last}")


async def embeds(session: aiohttp.ClientSession) -> Finding:
    """Texts are embedded, one vector each."""
    answer = await fetch(session, "POST", "/api/embeddings", {"texts": ["a", "b"]})
    vectors = answer.body.get("embeddings", [])
    same = {len(vector) for vector in vectors} == {answer.body.get("dimensions")} and bool(
        answer.body.get("model")
    )
    return Finding("POST /api/embeddings", len(vectors) == 2 and same, str(answer.status))  # noqa: PLR2004 - of two texts


async def keeps_files(session: aiohttp.ClientSession) -> Finding:
    """What is written to the workspace can be read back."""
    path, content = "/api/files/validation.txt", uuid4().hex
    written = await fetch(session, "PUT", path, data=content.encode())
    read = await fetch(session, "GET", path)
    passed = written.status in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT} and read.text == content
    return Finding("PUT and GET /api/files", passed, f"{written.status}, {read.status}")


async def tells_watchers(session: aiohttp.ClientSession) -> Finding:
    """A watcher is counted, and hears of a command that runs."""
    async with session.ws_connect("/ws") as socket:
        figures = (await fetch(session, "GET", "/api/metrics")).body["metrics"]["live_events"]
        await fetch(session, "POST", "/api/nl/process", {"text": "What is new?"})
        event = await socket.receive_json(timeout=10)
    return Finding("WS /ws", figures["sessions"] >= 1 and "event" in event, str(event.get("event")))


async def declares_busy(session: aiohttp.ClientSession) -> Finding:
    """The OpenAPI document declares 503 and 429 with `Retry-After` for every route of the API."""
    paths = (await fetch(session, "GET", "/openapi.json")).body["paths"]
    bare = [
        f"{method} {path}"
        for path, methods in paths.items()
        if path.startswith("/api/")
        for method, operation in methods.items()
        for status in ("503", "429")
        if "Retry-After" not in operation["responses"].get(status, {}).get("headers", {})
    ]
    return Finding(
        "503 and 429 are declared", not bare, f"not by {bare[:3]}" if bare else f"{len(paths)} paths"
    )


async def reaches_all(session: aiohttp.ClientSession) -> Finding:
    """What the server depends on has answered its last check."""
    found = (await fetch(session, "GET", "/health")).body["dependencies"]
    away = {name: each["error"] for name, each in found.items() if each["status"] != "up"}
    return Finding("every dependency is up", bool(found) and not away, str(away or ", ".join(found)))


async def reports_all(session: aiohttp.ClientSession) -> Finding:
    """The comprehensive report has every component, and a score that is the sum of its named checks."""
    body = (await ask(session, "GET", "/api/metrics/comprehensive")).body
    components, details = body["components"], body["score_details"]
    missing = [name for name, keys in COMPONENTS.items() if lacking(components.get(name), keys)]
    missing += lacking(body["performance"], {"response_time_ms", "throughput_rps", "success_rate"})
    adds_up = sum(each["points"] for each in details.values()) == body["architecture_score"]
    as_told = {name: each["possible"] for name, each in details.items()} == SCORED
    proven = all(each["evidence"] for each in details.values())
    seen = (
        f"missing {missing}"
        if missing
        else f"adds up: {adds_up}, as documented: {as_told}, evidence: {proven}"
    )
    return Finding("the comprehensive report", not missing and adds_up and as_told and proven, seen)


TRIGGER = "/api/test/circuit-breaker/trigger-failure/validation?failure_count="
LONG = b"x" * (10 * 1024 * 1024 + 1)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

_FIGURES_AND_BREAKERS: tuple[Check, ...] = (
    answers("/healthz", "status"),
    answers("/health", "status", "dependencies", "uptime_seconds"),
    hides_hosts,
    answers("/ready", "status"),
    correlates,
    exposes_metrics,
    answers("/circuit-breakers/health", "circuit_breakers"),
    answers("/api/metrics", "status", "timestamp", "metrics"),
    answers("/api/metrics/cache", "timestamp", "caches", "overall"),
    counts_caches,
    reports_all,
    lists_states,
    opens_on_demand,
    refuses("POST", f"{TRIGGER}0", HTTPStatus.UNPROCESSABLE_ENTITY),
    refuses("POST", f"{TRIGGER}101", HTTPStatus.UNPROCESSABLE_ENTITY),
    refuses("POST", "/api/test/circuit-breaker/reset/no-such-breaker", HTTPStatus.NOT_FOUND),
    tells_strictly,
)
_WORK: tuple[Check, ...] = (
    answers("/api/agents"),
    answers("/api/workflows"),
    runs_each,
    refuses("POST", "/api/agents/nobody/run", HTTPStatus.NOT_FOUND, {"input": "x"}),
    streams,
    refuses("POST", "/api/nl/process", HTTPStatus.UNPROCESSABLE_ENTITY, {"text": ""}),
    embeds,
    keeps_files,
    refuses("GET", "/api/files/..%2F..%2Fetc%2Fpasswd", HTTPStatus.UNPROCESSABLE_ENTITY),
    refuses("PUT", "/api/files/long.bin", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, data=LONG),
    tells_watchers,
    refuses(
        "POST", "/api/auth/token", HTTPStatus.UNAUTHORIZED, data=b"username=nobody&password=x", headers=FORM
    ),
    declares_busy,
)
AFTER_LOAD: tuple[Check, ...] = (reaches_all, reports_all)


def contract(recovery: float) -> tuple[Check, ...]:
    """Return the checks in their order; `recovery` is how many seconds a live breaker may take to close again."""
    return (*_FIGURES_AND_BREAKERS, recovers(recovery), *_WORK)
