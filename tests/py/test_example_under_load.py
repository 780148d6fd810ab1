"""The example under load: told to stop, and with several workers. Counts are checked, never times."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from resilience.observability import WorkerShare
from settings import Settings
from support.example import EXAMPLE, PYTHON_PATH, call, example_server
from support.ports import ReservedPort
from support.steady_load import Outcome, send_steadily, until_not_ready
from support.until import until

LONG = 180.0  # seconds that only end a test which would hang
BUSY = 10  # times that a limit of the server's own may take on a machine which is

ANSWERED = re.compile(
    r'resilience_http_requests_total\{method="GET",route="/api/agents",status="200"\} ([\d.]+)'
)


async def test_a_server_told_to_stop_under_300_requests_a_second_fails_none_and_exits_with_0():
    limit = Settings(drain_grace=5, drain_timeout=10).drain_limit
    with example_server(drain_grace="5", drain_timeout="10") as program:
        draining, outcome = asyncio.Event(), Outcome()
        async with aiohttp.ClientSession(program.url) as session, asyncio.TaskGroup() as group:
            group.create_task(send_steadily(session, "/api/agents", outcome, rate=300, until=draining))
            await until(lambda: len(outcome.seconds) >= 300, LONG)
            program.process.send_signal(signal.SIGTERM)
            group.create_task(until_not_ready(session, draining))
        assert await asyncio.to_thread(program.process.wait, BUSY * limit) == 0
    assert outcome.failures == []


SERVERS = {
    "uvicorn": [
        "uvicorn",
        "--workers=4",
        "--timeout-worker-healthcheck=120",
        "--log-level=error",
        "--port={port}",
    ],
    "gunicorn": [
        "gunicorn",
        "--preload",
        "--workers=4",
        "--timeout=120",
        "--worker-class=uvicorn_worker.UvicornWorker",
        "--bind=127.0.0.1:{port}",
        "--log-level=error",
    ],
}


@dataclass(frozen=True)
class Workers:
    """A server of four workers, and the folder in which they share their counts."""

    process: subprocess.Popen
    url: str
    shared: Path


@pytest.fixture(params=list(SERVERS))
def several_workers(request, tmp_path):
    reserved, shared = ReservedPort(), tmp_path / "metrics"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(PYTHON_PATH), str(EXAMPLE)]),
        "TMPDIR": str(tmp_path),
        "RESILIENCE_DATA_FOLDER": str(tmp_path / "data"),
        "RESILIENCE_METRICS_DIR": str(shared),
        "RESILIENCE_WORKSPACE": str(tmp_path / "workspace"),
        "RESILIENCE_UPSTREAM_URL": "http://127.0.0.1:9",  # nobody there: each worker would start its own
        "RESILIENCE_MAX_LAG": "60",  # nobody is refused because this machine is busy
    }
    words = [word.format(port=reserved.number) for word in SERVERS[request.param]]
    command = [sys.executable, "-m", *words, "unified_server:app"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as process:
        yield Workers(process, f"http://127.0.0.1:{reserved.number}", shared)
        process.terminate()
        assert process.wait(LONG) in (0, -signal.SIGTERM)
    reserved.close()
    assert list(tmp_path.glob("resilience-workers-*")) == []


async def is_up(url):
    try:
        return (await asyncio.to_thread(call, "GET", f"{url}/healthz")).status == 200
    except OSError:
        return False


async def counted(url):
    """Requests that all workers together say they answered, as any one of them tells."""
    text = (await asyncio.to_thread(call, "GET", f"{url}/metrics")).body.decode()
    return sum(float(each) for each in ANSWERED.findall(text))


async def test_four_workers_under_load_count_every_request_and_end_when_told(several_workers):
    url, outcome = several_workers.url, Outcome()
    async with asyncio.timeout(LONG):
        while not await is_up(url):
            assert several_workers.process.poll() is None
    connector = aiohttp.TCPConnector(force_close=True)  # so that every worker gets its share
    async with aiohttp.ClientSession(url, connector=connector) as session:
        await send_steadily(session, "/api/agents", outcome, rate=300, seconds=2)
        assert outcome.failures == []
        async with asyncio.timeout(LONG):
            while (total := await counted(url)) < 600:
                pass
        assert total == 600
        # told to end in the middle of a load: whom no worker takes any more fails, who was answered is counted
        async with asyncio.TaskGroup() as group:
            group.create_task(send_steadily(session, "/api/agents", outcome, rate=300, seconds=2))
            await until(lambda: len(outcome.seconds) >= 800, LONG)
            several_workers.process.terminate()
    assert await asyncio.to_thread(several_workers.process.wait, LONG) in (0, -signal.SIGTERM)
    answered = len(outcome.seconds) - len(outcome.failures)
    assert counted_in(several_workers.shared) == answered >= 800


def counted_in(shared):
    """Requests that the workers said they answered when they left."""
    families = {family.name: family for family in WorkerShare(shared).merged([])}
    values = families["resilience_http_requests"].values.items()
    return sum(
        numbers[0]
        for labels, numbers in values
        if {("route", "/api/agents"), ("status", "200")} <= set(labels)
    )
