"""Health probes against real sockets: they close open breakers early, and no other."""

import asyncio
import http.server
import threading

import pytest

from resilience import CircuitBreaker, HealthProbe, State
from resilience.testing import ManualClock


class Upstream:
    """An HTTP server on a free port and a thread of its own that answers with a given status."""

    def __init__(self, status=204):
        self.status = status
        self.asked = 0

    def __enter__(self):
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                upstream.asked += 1
                self.send_response(upstream.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}/healthz"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def opened(breaker):
    breaker.record_failure(ConnectionError(), 0.1)
    assert breaker.state is State.OPEN
    return breaker


def make(**settings):
    return CircuitBreaker(failure_threshold=1, recovery_timeout=60, clock=ManualClock(), **settings)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


async def test_an_open_breaker_closes_when_its_callee_answers_again():
    with Upstream(503) as upstream:
        breaker = make()
        changes = []
        breaker.add_listener(changes.append)
        breaker.add_health_probe(upstream.url, interval=0.001)
        opened(breaker)
        await until(lambda: upstream.asked >= 3)
        assert breaker.state is State.OPEN
        upstream.status = 200
        await until(lambda: breaker.state is State.CLOSED)
        assert [event.new for event in changes if hasattr(event, "new")] == [State.OPEN, State.CLOSED]


async def test_probing_ends_with_the_open_period():
    with Upstream() as upstream:
        breaker = make()
        breaker.add_health_probe(HealthProbe(url=upstream.url, interval=0.001, successes=1))
        opened(breaker)
        await until(lambda: breaker.state is State.CLOSED)
        asked = upstream.asked
        for _ in range(200):
            await asyncio.sleep(0)
        assert upstream.asked <= asked + 1


async def test_accepting_a_connection_is_enough_over_tcp():
    with Upstream() as upstream:
        breaker = opened(make())
        breaker.add_health_probe(f"tcp://{upstream.address}", interval=0.001)
        await until(lambda: breaker.state is State.CLOSED)
        assert upstream.asked == 0


async def test_a_breaker_held_open_is_left_alone():
    with Upstream() as upstream:
        breaker = opened(make())
        breaker._hold_open()
        remove = breaker.add_health_probe(upstream.url, interval=0.001)
        await until(lambda: upstream.asked >= 4)
        assert breaker.state is State.OPEN
        remove()


async def test_a_removed_probe_probes_no_more():
    with Upstream() as upstream:
        breaker = make()
        remove = breaker.add_health_probe(upstream.url, interval=0.001)
        remove()
        opened(breaker)
        for _ in range(50):
            await asyncio.sleep(0)
        assert upstream.asked == 0
        assert breaker.state is State.OPEN


async def test_a_breaker_that_opens_outside_of_any_loop_is_probed_too():
    with Upstream() as upstream:
        breaker = make()
        breaker.add_health_probe(upstream.url, interval=0.001)
        thread = threading.Thread(target=opened, args=(breaker,))
        thread.start()
        await until(lambda: upstream.asked >= 2 and breaker.state is State.CLOSED)
        thread.join()
        assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "https://api.example"}, "url must be tcp://host:port or http://host"),
        ({"url": "tcp://nowhere"}, "url must be"),
        (
            {"url": "tcp://h:1", "interval": 0},
            r"interval must be a number of seconds in \[0.001, 3600\], got 0",
        ),
        ({"url": "tcp://h:1", "timeout": float("nan")}, "timeout must be"),
        ({"url": "tcp://h:1", "successes": 0}, "successes must be an integer"),
    ],
)
def test_what_is_out_of_range_is_refused_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        HealthProbe(**settings)


def test_a_probe_has_its_own_settings():
    with pytest.raises(TypeError, match="settings go with a URL"):
        make().add_health_probe(HealthProbe(url="tcp://h:1"), interval=2)
