"""Checks of dependencies in the background, and the phases of a service's life."""

import asyncio

import httpx
from fastapi import FastAPI

from resilience.fastapi import DependencyChecks, Lifecycle, install, lifespan
from resilience.fastapi._health import Status
from support.until import until


async def test_checks_go_on_after_one_whose_own_task_was_cancelled():
    answers = [Status.UP, asyncio.CancelledError(), ConnectionError("down"), Status.UP]
    seen = []

    async def check():
        seen.append(checks.report()["database"]["status"])
        if isinstance(answer := answers.pop(0) if answers else Status.UP, BaseException):
            raise answer

    checks = DependencyChecks(interval=0.0)
    checks.add("database", check)
    async with checks.running():
        await until(lambda: len(seen) > 4)
    assert seen[:5] == [Status.UNKNOWN, Status.UP, Status.DOWN, Status.DOWN, Status.UP]


async def test_health_is_told_of_though_a_pools_figures_cannot_be_read():
    async def check():
        """Be well."""

    def figures():
        raise RuntimeError("on purpose")

    app = FastAPI()
    checks = install(app).dependencies
    checks.add("database", check, figures=figures)
    checks.add("redis", check, figures=lambda: {"size": 5})
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http,
    ):
        for path in ("/health", "/ready"):
            answer = await http.get(path)
            found = answer.json()["dependencies"]
            assert (answer.status_code, found["database"]["status"]) == (200, "up")
            assert (found["database"]["figures"], found["database"]["figures_error"]) == (
                None,
                "RuntimeError",
            )
            assert found["redis"]["figures"] == {"size": 5}


async def test_leaving_ends_a_check_that_hangs():
    asked = []

    async def check():
        asked.append(None)
        if len(asked) > 1:
            await asyncio.Event().wait()

    checks = DependencyChecks(interval=0.0, timeout=3600.0)
    checks.add("database", check)
    async with checks.running():
        await until(lambda: len(asked) == 2)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_everybody_hears_that_draining_begins_though_one_fails(caplog):
    told, lifecycle = [], Lifecycle()

    def fail():
        told.append("failing")
        raise RuntimeError("on purpose")

    lifecycle.on_drain(fail)
    lifecycle.on_drain(lambda: told.append("other"))
    lifecycle.drain()
    lifecycle.drain()
    assert told == ["failing", "other"]
    assert "on purpose" in caplog.text


async def test_an_application_that_starts_again_serves_as_the_first_time():
    app = FastAPI()
    state = install(app)
    drained = []
    state.lifecycle.on_drain(lambda: drained.append(state.lifecycle.phase))
    transport = httpx.ASGITransport(app)
    for times in (1, 2):
        async with (
            lifespan(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as http,
        ):
            answer = await http.get("/ready")
            assert answer.json()["phase"] == "serving"
            assert "connection" not in answer.headers
        assert drained == ["draining"] * times
