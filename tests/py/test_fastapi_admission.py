"""Admission by an adaptive limit."""

import httpx
import pytest
from fastapi import FastAPI

from resilience._adaptive_limit import AdaptiveLimit
from resilience.fastapi import Admission, Priority, install


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


async def test_timeouts_lower_the_adaptive_limit():
    admission = Admission(adaptive=AdaptiveLimit(initial=20, max=100, algorithm="aimd"))
    for _ in range(10):
        with pytest.raises(TimeoutError), admission.measured():
            raise TimeoutError
    assert admission.limit < 20
    assert admission.adaptive.in_flight == 0
