"""What is one client's never reaches another: responses cached in the middleware of a FastAPI application."""

import itertools

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from resilience.fastapi import install
from resilience.fastapi.response_cache import ResponseCache
from resilience.testing import ManualClock

FOR_A_MINUTE = {"Cache-Control": "max-age=60"}


def bearer(user):
    return {"Authorization": f"Bearer {user}"}


class Service:
    """An application whose every answer tells how often, and for whom, it was made."""

    def __init__(self, **settings):
        self.made = itertools.count(1)
        self.clock = ManualClock()
        self.status = 200
        self.app = FastAPI()
        self.endpoints = settings.pop("endpoints", {})
        make = lambda app: ResponseCache(app, clock=self.clock, **settings)  # noqa: E731
        install(self.app, {"endpoints": self.endpoints}, cache=make)
        self.headers = dict(FOR_A_MINUTE)
        self.app.get("/me")(self.answer)
        self.app.post("/me")(self.answer)

    async def answer(self, request: Request) -> Response:
        who = request.headers.get("authorization") or request.headers.get("cookie")
        body = {"made": next(self.made), "for": who}
        return JSONResponse(body, self.status, self.headers)

    async def ask(self, headers=None, *, method="GET", path="/me"):
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, headers=headers)


@pytest.fixture
def service():
    return Service()


async def test_what_anybody_may_see_is_made_once(service):
    first, again = await service.ask(), await service.ask()
    assert again.json() == first.json() == {"made": 1, "for": None}
    assert again.headers["Age"] == "0"


async def test_answers_to_authorization_are_not_kept(service):
    answers = [(await service.ask(bearer(user))).json() for user in ("alice", "bob", "alice")]
    assert [answer["for"] for answer in answers] == ["Bearer alice", "Bearer bob", "Bearer alice"]
    assert [answer["made"] for answer in answers] == [1, 2, 3]
    assert (await service.ask()).json()["for"] is None, "nor does one without credentials get them"


async def test_answers_to_a_cookie_are_not_kept(service):
    answers = [(await service.ask({"Cookie": f"session={user}"})).json() for user in ("alice", "bob")]
    assert [answer["for"] for answer in answers] == ["session=alice", "session=bob"]


async def test_answers_that_set_a_cookie_are_not_kept(service):
    service.headers["Set-Cookie"] = "session=1"
    assert [(await service.ask()).json()["made"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("directive", ["private", "no-store", "no-cache", "Private, max-age=60"])
async def test_answers_that_forbid_it_are_not_kept(service, directive):
    service.headers["Cache-Control"] = directive
    assert [(await service.ask()).json()["made"] for _ in range(2)] == [1, 2]


async def test_answers_that_say_nothing_are_not_kept(service):
    service.headers.clear()
    assert [(await service.ask()).json()["made"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("vary", ["Authorization", "Cookie, Authorization"])
async def test_even_public_answers_are_kept_apart_by_what_they_vary_by(service, vary):
    service.headers |= {"Cache-Control": "public, max-age=60", "Vary": vary}
    answers = [(await service.ask(bearer(user))).json() for user in ("alice", "bob", "alice")]
    assert [answer["made"] for answer in answers] == [1, 2, 1]


async def test_personal_answers_are_kept_by_the_authenticated_subject():
    known = {b"Bearer alice": "alice", b"Bearer bob": "bob"}
    service = Service(subject=lambda scope: known.get(dict(scope["headers"]).get(b"authorization")))
    answers = [(await service.ask(bearer(user))).json() for user in ("alice", "bob", "alice", "bob")]
    assert [answer["made"] for answer in answers] == [1, 2, 1, 2]
    assert [answer["for"] for answer in answers] == ["Bearer alice", "Bearer bob"] * 2


async def test_credentials_that_name_no_subject_are_kept_by_none():
    service = Service(subject=lambda _scope: None)
    answers = [(await service.ask(bearer(user))).json() for user in ("mallory", "trent")]
    assert [answer["for"] for answer in answers] == ["Bearer mallory", "Bearer trent"]
    assert (await service.ask()).json()["for"] is None


async def test_one_clients_etag_answers_no_other():
    service = Service(subject=lambda scope: dict(scope["headers"]).get(b"authorization"))
    await service.ask(bearer("alice"))
    etag = (await service.ask(bearer("alice"))).headers["ETag"]
    for_alice = await service.ask(bearer("alice") | {"If-None-Match": etag})
    for_bob = await service.ask(bearer("bob") | {"If-None-Match": etag})
    assert for_alice.status_code == 304
    assert (for_bob.status_code, for_bob.json()["for"]) == (200, "Bearer bob")


async def test_each_response_has_the_correlation_id_of_its_own_request(service):
    asked = [{"X-Correlation-ID": f"request-{number}"} for number in range(3)]
    answers = [await service.ask(headers) for headers in asked]
    assert {answer.json()["made"] for answer in answers} == {1}
    for headers, answer in zip(asked, answers, strict=True):
        assert answer.headers.get_list("X-Correlation-ID") == [headers["X-Correlation-ID"]]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_errors_are_not_kept(service, status):
    service.status = status
    assert [(await service.ask()).json()["made"] for _ in range(2)] == [1, 2]
    service.status = 200
    assert (await service.ask()).json()["made"] == 3


async def test_a_fallback_is_never_kept_in_an_answers_place():
    breaker = {"failure_threshold": 1, "recovery_timeout": 60}
    service = Service(endpoints={"/me": {"circuit_breaker": breaker, "fallback": {"fallback": True}}})
    service.status = 503
    assert (await service.ask()).status_code == 503
    assert (await service.ask()).json() == {"fallback": True}
    service.status = 200
    policy = service.app.state.resilience.endpoints.find({"path": "/me", "method": "GET"})
    policy.breaker.reset()
    assert (await service.ask()).json() == {"made": 2, "for": None}


async def test_a_change_and_time_end_what_is_kept(service):
    assert (await service.ask()).json()["made"] == 1
    assert (await service.ask(method="POST")).status_code == 200
    assert (await service.ask()).json()["made"] == 3
    service.clock.advance(60)
    assert (await service.ask()).json()["made"] == 4
