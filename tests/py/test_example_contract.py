"""The example keeps to its OpenAPI document, whatever is sent to it; `./dev contract` tries longer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.example import example_server

CONFIGURATION = Path(__file__).parent / "support" / "schemathesis.toml"
EXAMPLES = os.environ.get("RESILIENCE_CONTRACT_EXAMPLES", "10")


def test_schemathesis_finds_nothing_by_any_of_its_checks(tmp_path):
    pytest.importorskip("schemathesis", reason="schemathesis isn't installed")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run"]
    options = ["--checks=all", f"--max-examples={EXAMPLES}", "--seed=1", "--no-color"]
    with example_server(workspace=str(tmp_path / "workspace")) as program:
        document = f"{program.url}/openapi.json"
        command += [document, *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        alive = program.get("/healthz").status
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert alive == 200


def test_promtool_accepts_the_metrics():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool isn't installed: it comes with the package prometheus")
    with example_server() as program:
        program.post("/api/nl/process", {"text": "Explain a paper"})
        program.post("/api/embeddings", {"texts": ["a"]})
        program.get("/no-such-path")
        text = program.get("/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], check=False, input=text, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == b""


def test_every_route_breaker_cache_batcher_and_pool_has_metrics():
    with example_server() as program:
        paths = program.get("/openapi.json").json()["paths"]
        called = set()
        for path, operations in paths.items():
            if "get" in operations and "{" not in path:
                program.get(path)
                called.add(path)
        components = program.get("/api/metrics/comprehensive").json()["components"]
        breakers = program.get("/circuit-breakers/health").json()["circuit_breakers"]
        text = program.get("/metrics").body.decode()
    pools = components["connection_pooling"]["pools"]
    caches = {name for name in components["cache_monitoring"]["caches"] if name != "redis"}
    wanted = {
        "resilience_http_requests_total": ("route", called),
        "resilience_http_request_duration_seconds_count": ("route", called),
        "resilience_circuit_breaker_state": ("name", set(breakers)),
        "resilience_circuit_breaker_calls_total": ("name", set(breakers)),
        "resilience_cache_lookups_total": ("name", caches),
        "resilience_batcher_requests_total": ("name", set(components["request_batching"])),
        "resilience_pool_size": ("name", {name for name, size in pools.items() if size is not None}),
    }
    for family, (label, names) in wanted.items():
        lines = [line for line in text.splitlines() if line.startswith(family + "{")]
        missing = {name for name in names if not any(f'{label}="{name}"' in line for line in lines)}
        assert names, family
        assert not missing, f"{family} knows nothing of {missing}"
