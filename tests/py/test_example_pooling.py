"""The probe that measures what the connection pool gains: a figure, which the server can do without."""

from types import SimpleNamespace

import aiohttp

import pooling_probe
from support.until import until


class Connections:
    """Gives one outcome after the other."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    async def measure_improvement(self, *, rounds):
        assert rounds == pooling_probe.ROUNDS
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return [SimpleNamespace(scheme=scheme, fraction=outcome) for scheme in pooling_probe.SCHEMES]


async def test_a_probe_that_fails_in_any_way_stops_neither_the_start_nor_the_probing(monkeypatch):
    monkeypatch.setattr(pooling_probe, "PROBE_INTERVAL", 0.0)
    monkeypatch.setattr(pooling_probe, "RETRY_INTERVAL", 0.0)
    runners = []
    disconnected = aiohttp.ServerDisconnectedError()
    connections = Connections(disconnected, 0.5, TimeoutError(), disconnected, 0.7)
    services = SimpleNamespace(connections=connections, while_running=runners.append)
    pooling_probe.attach(None, services)
    probe = services.pooling
    async with runners[0]():
        assert probe.reason == "the probe failed: ServerDisconnectedError"
        await until(lambda: probe.least == 0.7)
    assert (probe.improvement, probe.reason) == ({"http": 0.7, "https": 0.7}, None)
