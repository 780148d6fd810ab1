"""The load test: its arrivals, its shape, its judgement, and one run of it against a real server."""

import json
import statistics
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from load_report import Outage, Sample, judge_outage
from load_shape import COMMANDS, EMBEDDINGS, PROMPTS, shape
from load_trace import generate, load_arrivals
from support.example import EXAMPLE, example_server


def test_generated_arrivals_have_the_statistics_of_the_recording():
    arrivals = generate(seed=7)
    gaps = [b.at - a.at for a, b in pairwise(arrivals)]
    assert len(arrivals) == 19_366
    assert statistics.fmean(gaps) == pytest.approx(0.1808, rel=0.08)
    assert statistics.pstdev(gaps) / statistics.fmean(gaps) == pytest.approx(1.094, rel=0.1)
    assert statistics.median(a.context_tokens for a in arrivals) == pytest.approx(760, rel=0.1)
    assert statistics.fmean(a.generated_tokens for a in arrivals) == pytest.approx(211, rel=0.1)
    assert generate(seed=7) == arrivals


def test_without_a_recording_the_arrivals_are_generated_and_say_so(monkeypatch, tmp_path):
    monkeypatch.setenv("RESILIENCE_DATA", str(tmp_path))
    arrivals, source = load_arrivals(3)
    assert source.startswith("generated")
    assert arrivals == generate(3)


def test_the_load_has_the_documented_shape():
    arrivals = generate(seed=1)
    requests = list(shape(arrivals, speed=40, seed=1, embeddings=True))
    by_path = Counter(request.path for request in requests)
    assert by_path[COMMANDS] / len(requests) == pytest.approx(0.65, abs=0.01)
    assert requests[-1].at == pytest.approx(arrivals[-1].at / 40)
    commands = Counter(request.body["text"] for request in requests if request.path == COMMANDS)
    harmonic = sum(1 / rank for rank in range(1, PROMPTS + 1))
    assert commands.most_common(1)[0][1] / commands.total() == pytest.approx(1 / harmonic, rel=0.15)
    for request, arrival in zip(requests, arrivals, strict=True):
        if request.path == EMBEDDINGS:
            assert len(request.body["texts"]) == -(-arrival.context_tokens // 256)


def test_without_the_embeddings_route_everything_is_a_command():
    requests = shape(generate(seed=1, count=100), speed=1, seed=1, embeddings=False)
    assert {request.path for request in requests} == {COMMANDS}


def test_an_outage_is_judged_by_the_breakers_own_counts():
    def totals(failures, late):
        return {"ollama": {"totals": {"failures": failures, "late": late}}}

    outage = Outage(
        mode="kill",
        began=100.0,
        ended=110.0,
        returned=111.0,
        in_flight=2,
        recovery_timeout=5.0,
        before=totals(1, 0),
        after=totals(5, 2),
    )
    moves = [(101, "closed", "open"), (106, "open", "half_open"), (106.1, "half_open", "open")]
    moves += [(111.5, "open", "half_open"), (112, "half_open", "closed")]
    transitions = [{"at": at, "name": "ollama", "from": old, "to": new} for at, old, new in moves]
    samples = [
        Sample("/x", sent_at=at, seconds=seconds, status=200, degraded=True, lag=0.0)
        for at, seconds in ((105.0, 0.01), (106.0, 3.0))
    ]
    verdict = judge_outage(outage, samples, transitions)
    breaker = verdict["breakers"]["ollama"]
    assert breaker["failures_until_open"] == 3
    assert breaker["opened_in_time"]
    assert breaker["in_flight_when_it_opened"] == 2
    assert (breaker["probes"], breaker["closed_after_return_s"], breaker["closed_in_time"]) == (1, 1.0, True)
    assert (verdict["fallbacks_served"], verdict["waited_while_open"]) == (2, 1)
    assert verdict["nothing_waited_beyond_probes"]


def test_a_run_with_an_outage_serves_fallbacks_opens_and_closes_the_breakers():
    with example_server(recovery_timeout="0.3") as server:
        command = [sys.executable, str(EXAMPLE / "load_test.py"), "--url", server.url, "--json"]
        command += ["--speed", "6", "--seconds", "8", "--outage", "1.5:4"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    report = json.loads(done.stdout)
    assert report["error_rate"] == 0
    assert report["requests"] > 50
    assert report["rps"] > 0
    assert report["latency_ms"]["/healthz"]["count"] > 0
    breaker = report["outage"]["breakers"]["nlp_processor"]
    assert breaker["opened_in_time"]
    assert report["outage"]["fallbacks_served"] > 0


def test_without_a_server_the_load_test_says_so_in_a_line():
    command = [sys.executable, str(EXAMPLE / "load_test.py"), "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("there is no server: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--speed", "0"], ["--outage", "5"], ["--outage-mode", "explode"]])
def test_bad_options_are_refused_with_a_reason(words):
    command = [sys.executable, str(EXAMPLE / "load_test.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "error: argument" in done.stderr
