"""Admission by an adaptive limit."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from resilience._adaptive_limit import AdaptiveLimit
from resilience.fastapi import Admission, Priority, install
from resilience.fastapi._problems import REJECTED
from resilience.testing import ManualClock


async def test_an_adaptive_limit_takes_the_place_of_the_fixed_one_and_gives_every_place_back():
    app = FastAPI()
    state = install(app, {"adaptive": True, "max_active": 30})
    app.get("/fine")(lambda: "fine")
    adaptive = state.admission.adaptive
    assert state.admission.limit == adaptive.limit == 20
    assert not state.admission.refuses(19, Priority.NORMAL)
    assert state.admission.refuses(20, Priority.NORMAL)
    assert state.admission.refuses(10, Priority.SHEDDABLE)
    assert not state.admission.refuses(29, Priority.CRITICAL)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        assert [(await http.get("/fine")).status_code for _ in range(5)] == [200] * 5
    assert adaptive.in_flight == 0


class Door:
    """An admission with a limit of 20 that loses a place a drop and gains one a success, and serves one request."""

    def __init__(self):
        clock = ManualClock()
        self.adaptive = AdaptiveLimit(initial=20, max=100, algorithm="aimd", clock=clock)
        self.admission = Admission(adaptive=self.adaptive)
        # enough in progress that a success lets the limit grow, begun after the drops before
        clock.advance(1)
        for _ in range(15):
            assert self.adaptive._machine.try_acquire()

    async def serve(self, app, **scope):
        async def send(_message):
            return None

        await self.admission.serve(app, {"type": "http", **scope}, None, send)
        assert self.adaptive.in_flight == 15

    async def change_by(self, app, **scope):
        before = self.admission.limit
        await self.serve(app, **scope)
        return self.admission.limit - before


def answering(status):
    async def app(_scope, _receive, send):
        if status:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize("status", [504, 503])
async def test_a_deadline_passed_and_a_service_that_is_overloaded_lower_the_limit(status):
    assert await Door().change_by(answering(status)) == -2


@pytest.mark.parametrize("status", [500, 501, 502, 400, 404, 408, 422, 429, 0])
async def test_errors_clients_mistakes_and_clients_who_left_say_nothing_about_the_load(status):
    assert await Door().change_by(answering(status)) == 0


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_an_answer_is_a_sample_of_latency(status):
    assert await Door().change_by(answering(status)) == 1


@pytest.mark.parametrize("status", [503, 429])
async def test_a_rejection_by_a_policy_further_in_says_nothing_about_the_load(status):
    assert await Door().change_by(answering(status), **{REJECTED: True}) == 0


async def test_a_timeout_that_nobody_answers_lowers_the_limit():
    async def app(_scope, _receive, _send):
        raise TimeoutError

    door = Door()
    with pytest.raises(TimeoutError):
        await door.serve(app)
    assert door.admission.limit == 18
    assert door.adaptive.in_flight == 15


async def test_an_endpoints_deadline_lowers_the_limit_and_its_open_breaker_does_not():
    app = FastAPI()
    policy = {"timeout": 0.01, "circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 60}}
    state = install(app, {"adaptive": True, "endpoints": {"/hangs-under-admission": policy}})

    @app.get("/hangs-under-admission")
    async def hang():
        await asyncio.Event().wait()

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        statuses, limits = [], []
        for _ in range(3):
            statuses.append((await http.get("/hangs-under-admission")).status_code)
            limits.append(state.admission.limit)
    assert statuses == [504, 503, 503]
    assert limits == [18, 18, 18]
    assert state.admission.adaptive.in_flight == 0
