"""One request's native way through the middleware: what it does to the application, the server and the counters."""

import asyncio
import gc
import inspect
import sys
import weakref
from collections.abc import MutableMapping
from pathlib import Path

import pytest

import resilience
from resilience import CircuitBreaker, Pipeline, retry
from resilience.fastapi import Admission, Lifecycle, RequestMetrics, ResilienceMiddleware, correlation_id
from resilience.fastapi.response_cache import ResponseCache

NAME = b"x-correlation-id"
START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body", "body": b"ok"}


async def ok(_scope, _receive, send):
    await send(dict(START, headers=[(b"a", b"1")]))
    await send(BODY)


class Sent(list):
    async def __call__(self, message):
        self.append(message)


def request(*headers, **more):
    return {"type": "http", "method": "GET", "path": "/x", "headers": list(headers), **more}


@pytest.fixture
def sent():
    return Sent()


def series(gate):
    return {key: found.count for key, found in gate.metrics.series.items()}


async def test_a_request_is_named_in_its_response_and_counted(sent):
    gate = ResilienceMiddleware(ok)
    assert (
        await gate(request((NAME, b"order-7"), route=type("Route", (), {"path": "/x"})), None, sent) is None
    )
    assert sent[0]["headers"] == [(b"a", b"1"), (NAME, b"order-7")]
    assert sent[1] is BODY
    assert series(gate) == {("GET", "/x", 200): 1}
    assert gate.metrics.active == 0


async def test_headers_that_the_application_uses_again_are_left_alone(sent):
    own = [(b"a", b"1")]

    async def app(_scope, _receive, send):
        await send(dict(START, headers=own))

    gate = ResilienceMiddleware(app)
    for _ in range(3):
        await gate(request(), None, sent)
    assert own == [(b"a", b"1")]
    assert [len(message["headers"]) for message in sent] == [2, 2, 2]


async def test_connections_are_closed_after_their_response_while_the_service_drains(sent):
    lifecycle = Lifecycle()
    gate = ResilienceMiddleware(ok, lifecycle=lifecycle)
    await gate(request(), None, sent)
    lifecycle.drain()
    await gate(request(), None, sent)
    assert [(b"connection", b"close") in message["headers"] for message in sent[::2]] == [False, True]


async def test_messages_may_be_any_mapping_and_headers_may_be_left_out(sent):
    class Message(MutableMapping):
        def __init__(self, items):
            self.items_ = items

        def __getitem__(self, key):
            return self.items_[key]

        def __setitem__(self, key, value):
            self.items_[key] = value

        def __delitem__(self, key):
            del self.items_[key]

        def __iter__(self):
            return iter(self.items_)

        def __len__(self):
            return len(self.items_)

    async def app(_scope, _receive, send):
        await send(Message(dict(START)))

    gate = ResilienceMiddleware(app)
    await gate(request((NAME, b"n")), None, sent)
    assert sent[0]["headers"] == [(NAME, b"n")]
    assert series(gate) == {("GET", "<unmatched>", 200): 1}


@pytest.mark.parametrize("message", [{}, {"type": "http.response.start"}, dict(START, headers=7), None])
async def test_a_message_that_is_none_is_the_applications_error(sent, message):
    async def app(_scope, _receive, send):
        with pytest.raises((KeyError, TypeError)):
            await send(message)
        await ok(_scope, _receive, send)

    await ResilienceMiddleware(app)(request(), None, sent)
    assert sent[0]["status"] == 200


async def test_an_exception_before_the_response_is_answered_and_one_after_it_is_raised_on(sent):
    error = LookupError("mine")

    async def app(scope, _receive, send):
        if scope["path"] == "/begun":
            await send(dict(START))
        raise error

    gate = ResilienceMiddleware(app)
    await gate(request(path="/x"), None, sent)
    assert sent[0]["status"] == 500
    with pytest.raises(LookupError) as raised:
        await gate(request(path="/begun"), None, sent)
    assert raised.value is error
    assert series(gate) == {("GET", "<unmatched>", 500): 1, ("GET", "<unmatched>", 200): 1}
    assert gate.metrics.active == 0
    assert correlation_id() is None


async def test_an_application_that_is_none_is_answered_for(sent):
    await ResilienceMiddleware(lambda _scope, _receive, _send: 7)(request(), None, sent)
    assert sent[0]["status"] == 500


async def test_a_cancelled_request_ends_its_application_and_counts_without_a_status(sent):
    begun, ended = asyncio.Event(), []

    async def app(_scope, _receive, _send):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(correlation_id())

    gate = ResilienceMiddleware(app)
    task = asyncio.create_task(gate(request((NAME, b"n")), None, sent))
    await begun.wait()
    assert gate.metrics.active == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["n"]
    assert series(gate) == {("GET", "<unmatched>", 0): 1}
    assert gate.metrics.active == 0


async def test_requests_side_by_side_keep_their_names_apart():
    arrived, go = [], asyncio.Event()

    async def app(scope, receive, send):
        arrived.append(None)
        if len(arrived) == 100:
            go.set()
        await go.wait()
        assert correlation_id() == scope["path"]
        await ok(scope, receive, send)

    gate = ResilienceMiddleware(app)
    answers = [Sent() for _ in range(100)]
    await asyncio.gather(
        *(
            asyncio.create_task(gate(request((NAME, str(n).encode()), path=str(n)), None, sent))
            for n, sent in enumerate(answers)
        )
    )
    assert [sent[0]["headers"][-1][1] for sent in answers] == [str(n).encode() for n in range(100)]
    assert gate.metrics.total == 100
    assert gate.metrics.active == 0


async def test_a_pass_that_is_closed_closes_the_application_once(sent):
    ended = []

    class Pause:
        def __await__(self):
            yield

    async def app(_scope, _receive, _send):
        try:
            await Pause()
        except GeneratorExit:
            ended.append("closed")
            raise

    gate = ResilienceMiddleware(app)
    way = gate(request(), None, sent)
    way.send(None)
    assert gate.metrics.active == 1
    way.close()
    way.close()
    assert ended == ["closed"]
    assert gate.metrics.active == 0
    assert gate.metrics.total == 1
    with pytest.raises(RuntimeError, match="reuse"):
        way.send(None)


def test_a_pass_that_nobody_awaits_says_so_and_counts_nothing(sent):
    gate = ResilienceMiddleware(ok)
    with pytest.warns(RuntimeWarning, match="ResilienceMiddleware.*never awaited"):
        gate(request(), None, sent)
    assert gate.metrics.total == 0


async def test_an_abandoned_pass_is_collected_with_what_it_holds(sent):
    class Pause:
        def __await__(self):
            yield

    async def app(_scope, _receive, _send):
        await Pause()

    gate = ResilienceMiddleware(app)
    way = gate(request(), None, sent)
    way.send(None)
    left = weakref.ref(way)
    del way
    gc.collect()
    assert left() is None
    assert gate.metrics.active == 0
    assert gate.metrics.total == 1


async def test_what_was_given_to_the_application_still_sends_after_its_request(sent):
    kept = []

    async def app(_scope, _receive, send):
        kept.append(send)

    await ResilienceMiddleware(app)(request((NAME, b"late")), None, sent)
    await kept[0](dict(START))
    assert sent[0]["headers"] == [(NAME, b"late")]


@pytest.mark.parametrize("headers", [7, [7], [(b"a",)], [(b"a", b"b", b"c")]])
async def test_headers_that_are_none_are_the_servers_error(sent, headers):
    gate = ResilienceMiddleware(ok)
    with pytest.raises((TypeError, ValueError)):
        await gate(dict(request(), headers=headers), None, sent)
    assert gate.metrics.active == 0


async def test_the_first_good_name_of_several_is_taken(sent):
    await ResilienceMiddleware(ok)(request((NAME, b"a b"), (NAME, b"first"), [NAME, b"second"]), None, sent)
    assert sent[0]["headers"][-1] == (NAME, b"first")


async def test_arguments_may_be_named_and_other_protocols_pass(sent):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])
        if scope["type"] == "http":
            await ok(scope, receive, send)

    gate = ResilienceMiddleware(app)
    await gate(scope=request(), receive=None, send=sent)
    await gate({"type": "lifespan"}, None, sent)
    assert seen == ["http", "lifespan"]
    with pytest.raises(TypeError):
        gate(request())
    with pytest.raises(KeyError):
        gate({}, None, sent)


async def test_servers_see_an_asynchronous_application_and_subclasses_may_do_more(sent):
    class Counting(ResilienceMiddleware):
        seen = 0

        async def __call__(self, scope, receive, send):
            self.seen += 1
            await super().__call__(scope, receive, send)

    class Plain(ResilienceMiddleware):
        pass

    for kind in (ResilienceMiddleware, Counting, Plain):
        gate = kind(ok)
        assert inspect.iscoroutinefunction(gate.__call__)
        await gate(request(), None, sent)
        await gate.__call__(request(), None, sent)
        assert gate.metrics.total == 2
        assert getattr(gate, "seen", 2) == 2


async def test_a_limit_that_is_lowered_counts_at_once_and_lag_is_looked_at_now_and_then(sent):
    looks = []

    def lag():
        looks.append(None)
        return 0.0

    admission = Admission(max_active=2, lag=lag)
    gate = ResilienceMiddleware(ok, admission=admission)
    for _ in range(100):
        await gate(request(), None, sent)
    assert 1 <= len(looks) < 100
    admission.max_active = 1
    gate.metrics.active = 1
    await gate(request(), None, sent)
    assert sent[-2]["status"] == 503
    assert admission.refused == 1


async def test_a_lagging_loop_is_asked_about_each_request(sent):
    gate = ResilienceMiddleware(ok, admission=Admission(lag=lambda: 9.0))
    for _ in range(3):
        await gate(request(), None, sent)
    assert [message["status"] for message in sent[::2]] == [503] * 3


async def test_metrics_may_keep_time_by_another_clock(sent, clock):
    async def app(scope, receive, send):
        clock.advance(0.25)
        await ok(scope, receive, send)

    gate = ResilienceMiddleware(app, metrics=RequestMetrics(clock=clock))
    await gate(request(), None, sent)
    assert gate.metrics.seconds == 0.25
    assert gate.metrics.last_minute().mean == 0.25


@pytest.fixture
def frames_of():
    """Counts the calls of Python functions of this library while something is awaited."""
    package = str(Path(resilience.__file__).parent)

    async def count_of(awaitable):
        frames = []

        def note(frame, event, _argument):
            if event == "call" and frame.f_code.co_filename.startswith(package):
                frames.append(frame.f_code.co_qualname)

        sys.setprofile(note)
        try:
            await awaitable
        finally:
            sys.setprofile(None)
        return frames

    return count_of


async def test_a_plain_request_runs_no_python_code_of_this_library(sent, frames_of):
    inside = Pipeline(retry=retry(on=OSError), circuit_breaker=CircuitBreaker("no frames"), timeout=5.0)

    @inside
    async def app(scope, receive, send):
        await ok(scope, receive, send)

    gate = ResilienceMiddleware(app)
    await gate(request(), None, sent)
    assert await frames_of(gate(request((NAME, b"n")), None, sent)) == []
    assert sent[2]["headers"][-1] == (NAME, b"n")


async def test_an_answer_from_the_response_cache_runs_next_to_none(sent, frames_of):
    gate = ResilienceMiddleware(ok, cache=lambda app: ResponseCache(app, ttl=60))
    asked = {"scheme": "http", "query_string": b""}
    await gate(request(**asked), None, sent)
    hit = gate(request((b"host", b"me"), **asked), None, sent)
    assert len(await frames_of(hit)) > 2, "another host"
    hit = gate(request((b"host", b"me"), **asked), None, sent)
    assert await frames_of(hit) == ["ResponseCache.__call__", "ResponseCache._age_of"]
    assert sent[-1]["body"] == b"ok"
