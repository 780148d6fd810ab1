"""External APIs on bad days: outages, quotas, stale answers, early closing, and whose mistake it was."""

# ruff: noqa: F811 - a test asks for a fixture by its name

import asyncio
import copy
import logging
import pickle

import httpx
import pytest

from resilience import CallTimeoutError, CircuitOpenError, RateLimitedError, State, rate_limit
from resilience.external import (
    AnswerTooLargeError,
    ApiStatusError,
    ApiUnreachableError,
    ExternalApi,
    MalformedAnswerError,
    MissingCredentialError,
    load_catalog,
)
from support.api_bodies import ENVIRONMENT, example_of
from support.api_server import Reply
from support.sample_api import make, server  # noqa: F401 - fixtures
from support.until import until

CATALOGUE = load_catalog()


async def fails(api, kind, **arguments):
    with pytest.raises(kind) as failure:
        await api.request("read", id="x", **arguments)
    return failure.value


@pytest.mark.parametrize("name", CATALOGUE)
async def test_an_outage_opens_each_api_after_its_failures_and_the_last_answer_stands_in(name, server, clock):
    spec = CATALOGUE[name]
    operation, arguments, kind, body = example_of(spec)
    settings = {"environment": ENVIRONMENT, "clock": clock, "base_url": server.url, "probing": False}
    async with ExternalApi(name, rate_limit=rate_limit(1e6), **settings) as api:
        server.says(body, kind)
        fresh = await api.request(operation, **arguments)
        ttl = spec.operations[operation].ttl
        clock.advance(ttl + 60)
        server.says(b"down", "text/plain", 503)
        asked = len(server.asked)
        for _ in range(10):
            answer = await api.request(operation, **arguments)
            assert (answer.value, answer.stale) == (fresh.value, True)
            assert answer.age == pytest.approx(ttl + 60)
        assert len(server.asked) == asked + spec.breaker.failure_threshold
        assert api.breaker.state is State.OPEN
        assert isinstance(answer.because, CircuitOpenError)
        assert api.stats()["requests"] == {"answered": 1, "stale": 10, "failed": 0}


async def test_the_families_have_the_settings_that_they_promise():
    research = ("arxiv", "pubmed", "semantic-scholar", "crossref", "openalex")
    financial = ("alpha-vantage", "yahoo-finance", "polygon")
    for names, failures, recovery, seconds, rate in ((research, 4, 60, 30, 0.4), (financial, 3, 45, 25, 0.3)):
        for name in names:
            breaker = CATALOGUE[name].breaker
            assert (breaker.failure_threshold, breaker.recovery_timeout) == (failures, recovery)
            assert (CATALOGUE[name].timeout, breaker.failure_rate_threshold) == (seconds, rate)
    assert len(CATALOGUE) >= 15
    for spec in CATALOGUE.values():
        assert spec.rate_limit or spec.quota
        assert spec.documentation.startswith("https://")
        assert spec.probe is not None
        assert all(operation.ttl for operation in spec.operations.values())


async def test_without_a_kept_answer_an_open_breaker_is_a_clear_error(make, server):
    api = make()
    server.says(b"", status=500)
    for _ in range(3):
        await fails(api, ApiStatusError)
    rejected = await fails(api, CircuitOpenError)
    assert str(rejected) == "'external.sample' is open, retry after 60 s"
    assert len(server.asked) == 3


async def test_a_stale_answer_is_given_only_as_long_as_the_catalogue_says(make, server, clock):
    api = make()
    await api.request("read", id="x")
    server.says(b"", status=500)
    clock.advance(10 + 3599)
    assert (await api.request("read", id="x")).stale
    clock.advance(2)
    await fails(api, ApiStatusError)


async def test_an_operation_that_is_not_cacheable_is_always_asked_for(make, server):
    api = make()
    assert [(await api.request("live")).age for _ in range(3)] == [0, 0, 0]
    assert len(server.asked) == 3
    server.says(b"", status=500)
    with pytest.raises(ApiStatusError):
        await api.request("live")


async def test_callers_at_the_same_time_share_one_request(make, server):
    api = make()
    server.reply = Reply(b"7", held=True)
    tasks = [asyncio.create_task(api.request("read", id="x")) for _ in range(20)]
    await until(lambda: server.asked)
    server.release.set()
    assert {(await task).value for task in tasks} == {7}
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 301, 302])
async def test_a_callers_own_mistakes_open_nothing_and_get_no_stale_answer(make, server, clock, status):
    api = make()
    await api.request("read", id="x")
    clock.advance(11)
    server.says(b'{"message": "no such thing"}', status=status, Location="http://127.0.0.1:1/")
    for _ in range(10):
        error = await fails(api, ApiStatusError)
    assert error.is_own_mistake
    assert error.status_code == status
    assert ("no such thing" in str(error)) == (status >= 400)
    assert (api.breaker.state, api.breaker.failure_count) == (State.CLOSED, 0)


async def test_retry_after_keeps_the_api_unasked_that_long_whatever_the_probe_sees(make, server, clock):
    api = make()
    server.says(b"", status=429, Retry_After="30")
    error = await fails(api, ApiStatusError)
    assert error.retry_after == 30
    server.says(b"1")
    for _ in range(28):
        clock.advance(1)
        await asyncio.sleep(0)
        assert api.breaker.state is State.OPEN
    rejected = await fails(api, CircuitOpenError)
    assert rejected.retry_after == pytest.approx(2)
    clock.advance(2)
    assert (await api.request("read", id="x")).value == 1


@pytest.mark.parametrize("value", ["-1", "nan", "rubbish", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_senseless_retry_after_is_ignored(make, server, value):
    api = make()
    server.says(b"", status=503, Retry_After=value)
    assert not (await fails(api, ApiStatusError)).retry_after
    assert api.breaker.state is State.CLOSED
    assert api.breaker.failure_count == 1


async def test_a_huge_retry_after_is_clamped(make, server):
    api = make()
    server.says(b"", status=503, Retry_After="1000000000")
    assert (await fails(api, ApiStatusError)).retry_after == 300
    assert (await fails(api, CircuitOpenError)).retry_after == pytest.approx(300)


async def test_the_probe_closes_the_breaker_early(make, server, clock):
    api = make()
    server.says(b"", status=503)
    for _ in range(3):
        await fails(api, ApiStatusError)
    probes = len(server.asked)
    clock.advance(1)
    await until(lambda: len(server.asked) == probes + 1)
    assert api.breaker.state is State.OPEN
    server.says(b"", status=401)  # it is up, and the probe brings no key
    for _ in range(5_000):  # 25 seconds, in steps that leave an attempt a thousand turns of the loop
        if api.breaker.state is State.CLOSED:
            break
        clock.advance(0.005)
        await asyncio.sleep(0)
    assert api.breaker.state is State.CLOSED
    assert {each.path for each in server.asked[probes:]} == {"/up"}
    server.says(b"1")
    assert (await api.request("read", id="x")).value == 1


async def test_the_native_engine_probes_what_has_an_address(make, server):
    api = make({"probe": {"path": server.url.replace("http", "tcp"), "interval": "1ms"}})
    server.says(b"", status=503)
    for _ in range(3):
        with pytest.raises(ApiStatusError):
            await api.request("live")
    await until(lambda: api.breaker.state is State.CLOSED)
    assert {each.path for each in server.asked} == {"/live"}


async def test_a_quota_is_not_closed_by_a_probe(make, server, clock):
    api = make()
    server.says(b"", status=429)
    for _ in range(3):
        await fails(api, ApiStatusError)
    server.says(b"1")
    assert not await api.probe()
    assert api.breaker.state is State.OPEN


async def test_probes_carry_no_secret(make, server):
    api = make(environment={"SAMPLE_KEY": "hush", "SAMPLE_TOKEN": "hush too"})
    assert await api.probe()
    (asked,) = server.asked
    assert asked.query == {}
    assert "x-token" not in asked.headers
    await api.request("read", id="x")
    assert (server.asked[1].query, server.asked[1].headers["x-token"]) == ({"key": "hush"}, "hush too")


async def test_a_hanging_api_times_out_and_opens(make, server, clock):
    api = make()
    server.reply = Reply(held=True)
    for number in range(1, 4):
        call = asyncio.create_task(api.request("live"))
        await until(lambda number=number: len(server.asked) == number)
        clock.advance(5)
        with pytest.raises(CallTimeoutError):
            await call
    assert api.breaker.state is State.OPEN


async def test_an_api_that_is_not_there_is_unreachable(make, server):
    api = make()
    await server.stop()
    for _ in range(3):
        error = await fails(api, ApiUnreachableError)
    assert str(error).startswith("sample: no answer: ConnectError")
    assert api.breaker.state is State.OPEN


async def test_a_used_up_quota_of_ours_opens_nothing_and_serves_what_is_kept(make, server, clock):
    api = make({"quota": {"rate": 1, "per": "1h"}})
    await api.request("read", id="x")
    clock.advance(11)
    answer = await api.request("read", id="x")
    assert (answer.stale, type(answer.because)) == (True, RateLimitedError)
    with pytest.raises(RateLimitedError):
        await api.request("read", id="y")
    assert len(server.asked) == 1
    assert api.breaker.failure_count == 0


async def test_secrets_appear_nowhere(make, server, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "k/e+y&=s3cret"  # noqa: S105 - a sample
    api = make(environment={"SAMPLE_KEY": secret, "SAMPLE_TOKEN": "t0ken"})
    server.answer = lambda asked: Reply(
        f"bad key {secret} k%2Fe%2By%26%3Ds3cret t0ken".encode(), 403, {"Content-Type": "text/plain"}
    )
    errors = [await fails(api, ApiStatusError)]
    server.answer = lambda asked: Reply(b"[", cut=True)
    errors.append(await fails(api, ApiUnreachableError))
    everything = [caplog.text, repr(api), str(api.stats()), repr(api.spec)]
    for error in errors:
        assert error.__cause__ is None
        everything += [repr(error), str(error), repr(error.__dict__)]
    for text in everything:
        assert "s3cret" not in text
        assert "t0ken" not in text
    assert "bad key *** *** ***" in str(errors[0])


@pytest.mark.parametrize(
    "error",
    [
        ApiStatusError("a", "reason", 503, 2.5),
        ApiUnreachableError("a", "reason"),
        MalformedAnswerError("a", "reason"),
        AnswerTooLargeError("a", "reason"),
        MissingCredentialError("a", "reason"),
    ],
)
def test_errors_pickle_and_copy(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), str(again), again.args) == (type(error), str(error), error.args)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"base_url": "ftp://x"}, ValueError, "base_url must be http"),
        ({"base_url": "http://user:pw@x"}, ValueError, "base_url must be http"),
        (
            {"base_url": "http://sample.example"},
            ValueError,
            "base_url must be https:// for an API that takes a secret",
        ),
        ({"base_url": "http://x:99999"}, ValueError, "base_url must be"),
        ({"environment": {"SAMPLE_KEY": "a\nb"}}, ValueError, "SAMPLE_KEY must be at most"),
        ({"user_agent": "a\r\nX: 1"}, ValueError, "user_agent must be printable ASCII"),
        ({"user_agent": 5}, TypeError, "user_agent must be a string or None, got int"),
        ({"rate_limit": 5}, TypeError, "rate_limit must be made by rate_limit"),
        ({"cache_entries": 0}, ValueError, "max_entries"),
    ],
)
def test_bad_settings_are_refused_at_construction(make, settings, kind, message):
    with pytest.raises(kind, match=message):
        make(**settings)


def test_an_unknown_api_is_refused_with_those_that_are_there():
    with pytest.raises(ValueError, match="there is no API 'arxive'; there are arxiv, pubmed"):
        ExternalApi("arxive")


async def test_any_httpx_transport_will_do(make):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=httpx.ByteStream(b"5")))
    assert (await make(transport=transport).request("live")).value == 5
