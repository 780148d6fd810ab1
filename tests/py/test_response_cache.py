"""Whole responses from memory: what is kept, for whom, for how long, and what is never."""

import asyncio

import pytest

from resilience.fastapi.response_cache import ResponseCache


class App:
    """An ASGI app that counts, and answers as it is told."""

    def __init__(self):
        self.calls = 0
        self.status = 200
        self.headers = [(b"content-type", b"text/plain")]
        self.chunks = None
        self.gate = None

    async def __call__(self, scope, _receive, send):
        self.calls += 1
        chunks = self.chunks or [b"answer %d" % self.calls]
        if self.gate is not None and scope["method"] == "GET":
            await self.gate.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunks[-1]})


class Answer:
    def __init__(self):
        self.status = None
        self.headers = {}
        self.body = b""

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.body += message["body"]


@pytest.fixture
def app():
    return App()


@pytest.fixture
def cached(app, clock):
    return ResponseCache(app, ttl=60, clock=clock)


async def ask(cached, path="/a", *, method="GET", query=b"", **headers):
    answer = Answer()
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "scheme": "http",
        "headers": raw,
    }
    await cached(scope, None, answer)
    return answer


async def test_an_answer_is_served_again_until_it_expires(cached, app, clock):
    first = await ask(cached)
    clock.advance(59)
    again = await ask(cached)
    assert again.body == first.body == b"answer 1"
    assert again.headers[b"age"] == b"59"
    assert again.headers[b"content-type"] == b"text/plain"
    clock.advance(1)
    assert (await ask(cached)).body == b"answer 2"
    assert app.calls == 2


async def test_what_one_hit_is_given_may_be_changed_without_harm_to_the_next(cached):
    async def spoil(message):
        if "headers" in message:
            message["headers"].clear()
        message["body"] = b"spoilt"

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a",
        "query_string": b"",
        "scheme": "http",
        "headers": [],
    }
    await ask(cached)
    await cached(scope, None, spoil)
    again = await ask(cached)
    assert again.body == b"answer 1"
    assert again.headers[b"content-type"] == b"text/plain"


async def test_a_host_that_is_named_twice_is_an_address_of_its_own(cached, app):
    async def ask_hosts(*hosts):
        answer = Answer()
        scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "scheme": "http"}
        await cached(dict(scope, headers=[(b"host", host) for host in hosts]), None, answer)
        return answer.body

    assert await ask_hosts(b"one") != await ask_hosts(b"one", b"two")
    assert await ask_hosts(b"one", b"two") == await ask_hosts(b"one", b"two") == b"answer 2"
    assert app.calls == 2


async def test_host_path_and_query_are_told_apart(cached):
    bodies = {
        (await ask(cached, path, query=query, host=host)).body
        for path in ("/a", "/b")
        for query in (b"", b"x=1")
        for host in ("one", "two")
    }
    assert len(bodies) == 8


@pytest.mark.parametrize(
    "header",
    [
        (b"set-cookie", b"session=1"),
        (b"cache-control", b"private"),
        (b"Cache-Control", b"max-age=60, No-Store"),
        (b"cache-control", b"no-cache"),
        (b"cache-control", b"max-age=0"),
        (b"cache-control", b"max-age=rubbish"),
        (b"vary", b"accept, *"),
    ],
)
async def test_what_must_not_be_kept_is_not(cached, app, header):
    app.headers.append(header)
    assert (await ask(cached)).body != (await ask(cached)).body


@pytest.mark.parametrize("status", [201, 206, 302, 404, 500])
async def test_only_plain_successes_are_kept(cached, app, status):
    app.status = status
    await ask(cached)
    await ask(cached)
    assert app.calls == 2


async def test_max_age_and_s_maxage_decide_over_the_default(cached, app, clock):
    app.headers.append((b"cache-control", b"max-age=1000, s-maxage=10"))
    await ask(cached)
    clock.advance(9)
    assert (await ask(cached)).body == b"answer 1"
    clock.advance(1)
    assert (await ask(cached)).body == b"answer 2"


async def test_personal_answers_reach_nobody_else(app, clock):
    cached = ResponseCache(app, ttl=60, clock=clock)
    for header in ("authorization", "cookie"):
        answers = [await ask(cached, **{header: user}) for user in ("alice", "bob", "alice")]
        assert len({answer.body for answer in answers}) == 3
    by_subject = ResponseCache(
        app, ttl=60, clock=clock, subject=lambda scope: dict(scope["headers"])[b"authorization"]
    )
    alice, bob, again = [await ask(by_subject, authorization=user) for user in ("alice", "bob", "alice")]
    assert alice.body == again.body != bob.body


async def test_what_says_public_is_shared(cached, app):
    app.headers.append((b"cache-control", b"public, max-age=60"))
    assert (await ask(cached, authorization="alice")).body == (await ask(cached, authorization="bob")).body


async def test_answers_are_kept_by_the_headers_that_they_vary_by(cached, app):
    app.headers.append((b"vary", b"Accept-Language, accept"))
    german = await ask(cached, accept_language="de")
    english = await ask(cached, accept_language="en")
    assert german.body != english.body
    assert (await ask(cached, accept_language="de", user_agent="x")).body == german.body
    assert app.calls == 2


async def test_an_unchanged_answer_is_304(cached, app):
    etag = (await ask(cached)).headers.get(b"etag") or (await ask(cached)).headers[b"etag"]
    for condition in (etag.decode(), f'"other", W/{etag.decode()}', "*"):
        answer = await ask(cached, if_none_match=condition)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers[b"etag"] == etag
        assert b"content-length" not in answer.headers
    assert (await ask(cached, if_none_match='"other"')).status == 200
    app.headers.append((b"etag", b'W/"own"'))
    await ask(cached, "/own")
    assert (await ask(cached, "/own", if_none_match='"own"')).status == 304


async def test_head_is_answered_from_what_get_left(cached, app):
    await ask(cached, method="HEAD")
    got = await ask(cached)
    head = await ask(cached, method="HEAD")
    assert app.calls == 2
    assert head.body == b""
    assert head.headers[b"content-length"] == b"%d" % len(got.body)


async def test_the_client_may_go_past_the_cache(cached, app):
    await ask(cached)
    assert (await ask(cached, cache_control="no-cache")).body == b"answer 2"
    assert (await ask(cached)).body == b"answer 2", "and what it got is kept"
    assert (await ask(cached, cache_control="no-store")).body == b"answer 3"
    assert (await ask(cached, range="bytes=0-1")).body == b"answer 4"
    assert (await ask(cached)).body == b"answer 2"
    assert app.calls == 4


async def test_a_change_forgets_its_path_and_only_when_it_succeeds(cached, app):
    await ask(cached)
    await ask(cached, query=b"page=2")
    await ask(cached, "/other")
    app.status = 409
    await ask(cached, method="POST")
    app.status = 200
    assert (await ask(cached)).body == b"answer 1"
    await ask(cached, method="DELETE")
    assert (await ask(cached)).body == b"answer 6"
    assert (await ask(cached, query=b"page=2")).body == b"answer 7"
    assert (await ask(cached, "/other")).body == b"answer 3"


async def test_an_answer_older_than_a_change_is_not_kept(cached, app):
    app.gate = asyncio.Event()
    slow = asyncio.create_task(ask(cached))
    for _ in range(5):
        await asyncio.sleep(0)
    await ask(cached, method="PUT")
    app.gate.set()
    assert (await slow).body == b"answer 1"
    assert (await ask(cached)).body == b"answer 3"


async def test_streams_are_kept_while_they_are_short(app, clock):
    cached = ResponseCache(app, ttl=60, max_body=10, clock=clock)
    app.chunks = [b"12345", b"67890"]
    await ask(cached)
    assert (await ask(cached)).body == b"1234567890"
    app.chunks = [b"12345", b"67890", b"1", b""]
    await ask(cached, "/long")
    assert (await ask(cached, "/long")).body == b"12345678901"
    assert app.calls == 3


async def test_an_answer_that_breaks_off_is_not_kept(cached, app):
    async def breaks_off(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise OSError("gone")

    broken = ResponseCache(breaks_off, ttl=60)
    with pytest.raises(OSError, match="gone"):
        await ask(broken)
    assert len(broken.cache) == 0
    assert app.calls == 0


async def test_memory_is_bounded_whatever_is_asked(app, clock):
    cached = ResponseCache(app, ttl=60, max_entries=50, max_bytes=20_000, clock=clock)
    app.headers.append((b"vary", b"accept"))
    for number in range(500):
        await ask(cached, f"/{number}", accept=str(number))
        assert cached.cache.stats()["bytes"] <= 20_000
    assert len(cached.cache) <= 50


async def test_other_protocols_and_paths_pass_through(app, clock):
    cached = ResponseCache(app, ttl=60, serves=lambda path: path.startswith("/api/"), clock=clock)
    await ask(cached, "/other")
    await ask(cached, "/other")
    await ask(cached, "/api/x")
    await ask(cached, "/api/x")
    assert app.calls == 3
    seen = []

    async def lifespan(scope, _receive, _send):
        seen.append(scope["type"])

    await ResponseCache(lifespan)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
    with pytest.raises(ValueError, match="max_body"):
        ResponseCache(app, max_body=0)
