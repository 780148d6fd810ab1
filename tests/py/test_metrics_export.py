"""`GET /metrics`: the text format, every part in it, bounded series, and several workers as one."""

import asyncio
import errno
import json
import os
import shutil
import threading
import time

import pytest
from fastapi import FastAPI

from resilience import get_circuit_breaker
from resilience._worker_folder import started
from resilience.fastapi import _metrics, install, lifespan
from resilience.observability import (
    Family,
    WorkerShare,
    _workers,
    batcher_families,
    breaker_families,
    cache_families,
)
from support.example import example_server
from support.scrapes import counter, gauges, samples, scrape
from support.until import settle, until

GONE_PID = 2**22 + 1  # above the largest process id that Linux gives out


async def test_requests_are_exported_by_route_template_with_their_durations():
    app = FastAPI()
    install(app)
    app.get("/items/{item}")(lambda item: item)
    seen = await scrape(app, "/items/1", "/items/2", "/nothing")
    labels = (("method", "GET"), ("route", "/items/{item}"))
    assert seen["resilience_http_requests_total", (*labels, ("status", "200"))] == 2
    assert seen["resilience_http_request_duration_seconds_count", labels] == 2
    assert seen["resilience_http_request_duration_seconds_bucket", (("le", "+Inf"), *labels)] == 2
    assert seen["resilience_http_request_duration_seconds_sum", labels] > 0
    unmatched = (("method", "GET"), ("route", "<unmatched>"), ("status", "404"))
    assert seen["resilience_http_requests_total", unmatched] == 1


async def test_breakers_are_exported_with_state_calls_and_transitions():
    breaker = get_circuit_breaker("exported")
    breaker.force_open()
    app = FastAPI()
    install(app)
    async with lifespan(app):
        seen = await scrape(app)
    breaker.reset()
    assert seen["resilience_circuit_breaker_state", (("name", "exported"),)] == 3
    assert ("resilience_circuit_breaker_calls_total", (("name", "exported"), ("outcome", "failures"))) in seen
    assert seen["resilience_event_loop_lag_seconds", ()] >= 0


def test_caches_and_batchers_are_exported_from_their_own_statistics():
    stats = {"size": 3, "hits": 7, "misses": 2, "evictions": {"capacity": 1}}
    metrics = {"total_requests": 10, "total_batches": 4, "pending_requests": 0, "efficiency_ratio": 0.5}
    families = [*cache_families({"c": lambda: stats}), *batcher_families({"b": lambda: metrics})]
    values = {
        (family.name, labels): numbers for family in families for labels, numbers in family.values.items()
    }
    assert values["resilience_cache_lookups", (("name", "c"), ("result", "hits"))] == [7]
    assert values["resilience_cache_evictions", (("cause", "capacity"), ("name", "c"))] == [1]
    assert values["resilience_batcher_efficiency_ratio", (("name", "b"),)] == [0.5]


def test_series_of_a_family_are_bounded_and_what_is_beyond_is_counted_together():
    family = Family("many", "counter", "x")
    for number in range(100_000):
        family.put(1, name=f"key-{number}")
    assert len(family.values) == 501
    assert family.values[("name", "<other>"),] == [100_000 - 500]


def publish_as(share: WorkerShare, folder, pid: int, families) -> None:
    """Publish a snapshot and make it another process's."""
    share.publish(families)
    share._own.rename(folder / f"{pid}-{started(pid)}-1.json")


def numbers(families) -> dict[str, float]:
    return {family.name: next(iter(family.values.values()))[0] for family in families}


def test_counters_of_workers_are_added_and_gauges_merged_as_each_says(tmp_path):
    share = WorkerShare(tmp_path / "m")
    publish_as(share, tmp_path / "m", os.getppid(), [counter(5), *gauges(3)])
    assert numbers(share.merged([counter(2), *gauges(1)])) == {"jobs": 7, "active": 4, "state": 3}


def test_counters_of_a_worker_that_is_gone_stay_and_its_gauges_go(tmp_path):
    folder = tmp_path / "m"
    share = WorkerShare(folder)
    publish_as(share, folder, GONE_PID, [counter(5), *gauges(3)])
    assert numbers(share.merged([counter(2), *gauges(1)])) == {"jobs": 7, "active": 1, "state": 1}
    for pid in range(GONE_PID + 1, GONE_PID + 20):
        publish_as(share, folder, pid, [counter(1)])
    restarted = WorkerShare(folder)
    assert [path.name for path in folder.glob("*.json")] == ["gone.json"]
    assert numbers(restarted.merged([counter(2)])) == {"jobs": 26}


def test_what_an_older_version_measured_by_other_buckets_is_left_out(tmp_path):
    def durations(*bounds):
        family = Family("durations", "histogram", "x", bounds=bounds)
        family.add((), [1.0] * (len(bounds) + 2))
        return family

    share = WorkerShare(tmp_path / "m")
    for pid in (GONE_PID, os.getppid()):
        publish_as(share, tmp_path / "m", pid, [counter(5), durations(0.1)])
    publish_as(share, tmp_path / "m", GONE_PID + 1, [durations(0.1, 0.5)])
    restarted = WorkerShare(tmp_path / "m")
    merged = restarted.merged([counter(2), durations(0.1, 0.5)])
    assert numbers(merged)["jobs"] == 12
    (seen,) = [family for family in merged if family.name == "durations"]
    assert seen.bounds == (0.1, 0.5)
    assert len(seen.values[()]) == 4


def test_a_worker_starts_on_a_full_disk(tmp_path, monkeypatch):
    share = WorkerShare(tmp_path / "m")
    publish_as(share, tmp_path / "m", GONE_PID, [counter(5)])

    def full(path, families):
        raise OSError(errno.ENOSPC, "on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(_workers, "_write", full)
        started_meanwhile = WorkerShare(tmp_path / "m")
    assert numbers(started_meanwhile.merged([counter(2)])) == {"jobs": 7}


def test_what_a_killed_worker_was_writing_goes_and_what_a_live_one_writes_stays(tmp_path):
    folder = tmp_path / "m"
    WorkerShare(folder)
    alive = folder / f"{os.getppid()}-{started(os.getppid())}-1.tmp"
    killed = [folder / name for name in (f"{GONE_PID}-0-1.tmp", f"{os.getpid()}-1-1.tmp", "gone.tmp")]
    for path in (alive, *killed):
        path.write_text("[")
    WorkerShare(folder).publish([counter(5)])
    assert [path for path in folder.iterdir() if path.suffix == ".tmp"] == [alive]


def test_a_worker_whose_process_id_was_given_out_again_is_gone(tmp_path):
    share = WorkerShare(tmp_path / "m")
    share.publish([counter(5), *gauges(3)])
    before_the_restart = tmp_path / "m" / f"{os.getpid()}-1-1.json"
    share._own.rename(before_the_restart)
    assert numbers(share.merged([counter(2), *gauges(1)])) == {"jobs": 7, "active": 1, "state": 1}
    assert numbers(WorkerShare(tmp_path / "m").merged([counter(2)])) == {"jobs": 7}
    assert not before_the_restart.exists(), "it is among those that are gone"


@pytest.mark.parametrize("torn", ["", "{", "[1]", '[{"name": 1}]', json.dumps([{"values": 3}])])
def test_a_torn_snapshot_is_left_out(tmp_path, torn):
    share = WorkerShare(tmp_path / "m")
    (tmp_path / "m" / f"{os.getppid()}-{started(os.getppid())}-1.json").write_text(torn)
    assert numbers(share.merged([counter(2)])) == {"jobs": 2}


def test_a_folder_that_is_open_to_others_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="700"):
        WorkerShare(tmp_path / "open")


def test_a_folder_that_somebody_removed_is_made_again(tmp_path):
    share = WorkerShare(tmp_path / "m")
    shutil.rmtree(tmp_path / "m")
    publish_as(share, tmp_path / "m", os.getppid(), [counter(5)])
    assert numbers(share.merged([counter(2)])) == {"jobs": 7}


async def test_metrics_are_one_workers_alone_while_they_cannot_be_shared(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RESILIENCE_METRICS_DIR", str(tmp_path / "m"))
    monkeypatch.setattr(_metrics, "PUBLISH_INTERVAL", 0.0)
    app = FastAPI()
    install(app)
    app.get("/items/{item}")(lambda item: item)
    async with lifespan(app):
        shutil.rmtree(tmp_path / "m")
        (tmp_path / "m").touch()  # a file in its place: nothing can be written there
        await until(lambda: "can't be shared" in caplog.text)
        seen = await scrape(app, "/items/1")
        labels = (("method", "GET"), ("route", "/items/{item}"), ("status", "200"))
        assert seen["resilience_http_requests_total", labels] == 1
        (tmp_path / "m").unlink()
        await until(lambda: list((tmp_path / "m").glob("*.json")))
    assert caplog.text.count("can't be shared") == 1


async def test_the_last_snapshot_of_a_worker_is_that_of_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIENCE_METRICS_DIR", str(tmp_path / "m"))
    write, writing, go_on, end = _workers._write, threading.Event(), threading.Event(), asyncio.Event()

    def held(path, families):
        families, first = list(families), not writing.is_set()
        writing.set()
        if first:
            go_on.wait(60)
        write(path, families)

    monkeypatch.setattr(_workers, "_write", held)
    app = FastAPI()
    install(app)

    async def serve():
        async with lifespan(app):
            await end.wait()

    serving = asyncio.create_task(serve())
    await until(writing.is_set)
    await scrape(app, "/healthz")
    end.set()
    await settle()
    go_on.set()
    await serving
    await asyncio.get_running_loop().shutdown_default_executor()
    left = WorkerShare(tmp_path / "m").merged([])
    (requests,) = [family for family in left if family.name == "resilience_http_requests"]
    assert sum(map(sum, requests.values.values())) == 2


async def test_breaker_names_with_quotes_and_newlines_cannot_forge_a_metric():
    name = 'evil"} 1\nforged_total 99 # <b>'
    breaker = get_circuit_breaker(name)
    app = FastAPI()
    install(app)
    seen = await scrape(app)
    assert ("resilience_circuit_breaker_state", (("name", name),)) in seen
    assert not any(metric == "forged_total" for metric, _ in seen)
    assert breaker.name in {dict(labels).get("name") for _, labels in seen}


def test_every_breaker_of_the_registry_has_all_its_metrics():
    get_circuit_breaker("walked")
    for family in breaker_families():
        assert any(dict(labels)["name"] == "walked" for labels in family.values)


def test_a_server_with_two_workers_counts_every_request_whoever_is_scraped():
    with example_server(workers="2") as server:
        for _ in range(40):
            assert server.get("/healthz").status == 200
        key = (
            "resilience_http_requests_total",
            (("method", "GET"), ("route", "/healthz"), ("status", "200")),
        )
        deadline = time.monotonic() + 120
        while (seen := [samples(server.get("/metrics").body.decode()).get(key, 0) for _ in range(4)]) != [
            40
        ] * 4:
            assert time.monotonic() < deadline, seen
