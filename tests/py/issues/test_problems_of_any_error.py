"""Errors that FastAPI allows became a 500, or a response that no server can send, or one with a header twice."""

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Response, WebSocket
from fastapi.responses import PlainTextResponse

from resilience import CircuitOpenError, RateLimitedError, RetryBudgetExhaustedError
from resilience.fastapi import ResilienceMiddleware, correlation_id, install, lifespan

PROBLEM = "application/problem+json"
HEADER = "x-correlation-id"


def raising(error: Exception, *, of: FastAPI | None = None) -> FastAPI:
    app = FastAPI() if of is None else of

    async def fail() -> None:
        raise error

    app.get("/fail")(fail)
    return app


async def answer(app, path: str = "/fail", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("detail", "errors"), [({"reason": "taken"}, [{"reason": "taken"}]), (["a", 1], ["a", 1]), (7, [7])]
)
async def test_a_detail_that_is_no_text_is_kept_for_programs(detail, errors):
    app = raising(HTTPException(409, detail))
    install(app)
    response = await answer(app)
    assert (response.status_code, response.headers["content-type"]) == (409, PROBLEM)
    assert response.json()["errors"] == errors
    assert "detail" not in response.json()


@pytest.mark.parametrize("status", [499, 520, 599])
async def test_a_status_that_no_standard_names_is_answered(status):
    app = raising(HTTPException(status, "Upstream is odd."))
    install(app)
    response = await answer(app)
    assert response.status_code == response.json()["status"] == status
    assert response.json()["detail"] == "Upstream is odd."


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_a_body_has_none(status):
    app = raising(HTTPException(status, headers={"ETag": '"1"'}))
    install(app)
    response = await answer(app)
    assert (response.status_code, response.content, response.headers["etag"]) == (status, b"", '"1"')


@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
async def test_a_retry_after_of_the_applications_own_stays_alone(name):
    app = raising(HTTPException(503, headers={name: "9"}))
    install(app)
    assert (await answer(app)).headers.get_list("retry-after") == ["9"]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (CircuitOpenError("llm", 7.2), 503, "8"),
        (RateLimitedError(3.0), 429, "3"),
        (RetryBudgetExhaustedError("llm"), 503, "1"),
        (HTTPException(409, {"reason": "taken"}), 409, None),
    ],
)
async def test_the_middleware_alone_answers_them_too(error, status, retry_after):
    async def application(_scope, _receive, _send):
        raise error

    response = await answer(ResilienceMiddleware(application))
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("given", [{}, {HEADER: "request-7"}])
async def test_a_mounted_application_shares_the_name_of_the_request(given):
    inner, outer = FastAPI(), FastAPI()
    for app in (inner, outer):
        install(app)
    inner.get("/name")(correlation_id)
    outer.mount("/inner", inner)
    response = await answer(outer, "/inner/name", **given)
    assert response.headers.get_list(HEADER) == [response.json()]
    assert given.get(HEADER, response.json()) == response.json()


async def test_two_requests_of_one_mounted_application_have_two_names():
    inner, outer = FastAPI(), FastAPI()
    for app in (inner, outer):
        install(app)
    inner.get("/name")(correlation_id)
    outer.mount("/inner", inner)
    assert (await answer(outer, "/inner/name")).json() != (await answer(outer, "/inner/name")).json()


async def test_a_name_that_the_application_gives_itself_gives_way():
    app = FastAPI()
    install(app)

    @app.get("/named")
    async def named(response: Response) -> str | None:
        response.headers["X-Correlation-ID"] = "of-an-upstream"
        response.headers["X-Other"] = "stays"
        return correlation_id()

    response = await answer(app, "/named")
    assert response.headers.get_list(HEADER) == [response.json()]
    assert response.headers["x-other"] == "stays"


async def test_a_refused_websocket_has_a_name():
    app = FastAPI()
    install(app)

    @app.websocket("/refused")
    async def refuse(socket: WebSocket) -> None:
        await socket.send_denial_response(PlainTextResponse("no", 401, {HEADER: "mine"}))

    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/refused",
        "headers": [(HEADER.encode(), b"request-8")],
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await app(scope, receive, send)
    assert sent[0]["type"] == "websocket.http.response.start"
    assert [value for name, value in sent[0]["headers"] if name == HEADER.encode()] == [b"request-8"]


async def test_installing_too_late_changes_nothing():
    app = FastAPI()
    await answer(app, "/")
    with pytest.raises(RuntimeError, match="after an application has started"):
        install(app)
    assert not hasattr(app.state, "resilience")


async def test_a_lifespan_without_installing_says_what_is_missing():
    with pytest.raises(RuntimeError, match=r"install\(app\) has to be called"):
        async with lifespan(FastAPI()):
            pass


@pytest.mark.parametrize(
    ("config", "argument"),
    [({"max_active": "5"}, "max_active"), ({"max_lag": "1"}, "max_lag"), (5, "config"), ([], "config")],
)
def test_a_setting_of_the_wrong_type_is_named(config, argument):
    app = FastAPI()
    with pytest.raises(TypeError, match=argument):
        install(app, config=config)
    assert not hasattr(app.state, "resilience")
