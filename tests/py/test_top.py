"""`resilience top`: a server's figures in the terminal."""

import asyncio
import re

import pytest
from rich.console import Console

from resilience import CircuitBreaker, CircuitOpenError, cli
from resilience.dashboard._terminal import render
from resilience.observability import Family
from resilience.observability._families import breaker_families
from resilience.observability._prometheus import render as exposed
from support.api_server import api_server

NAME = "[red]pay[/red] \x1b[2J"


def families():
    state = Family("resilience_circuit_breaker_state", "gauge", "State")
    state.put(2, name=NAME)
    calls = Family("resilience_circuit_breaker_calls", "counter", "Calls")
    calls.put(1200, name=NAME, outcome="successes")
    calls.put(34, name=NAME, outcome="failures")
    entries = Family("resilience_cache_entries", "gauge", "Entries")
    entries.put(12, name="answers")
    lookups = Family("resilience_cache_lookups", "counter", "Lookups")
    lookups.put(3, name="answers", result="hits")
    lookups.put(1, name="answers", result="misses")
    forecast = Family("resilience_forecast", "gauge", "Forecast")
    forecast.put(90, measure="rpm")
    return [state, calls, entries, lookups, forecast]


def shown(found):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 - closed below
    console.print(render(found, "http://here"))
    console.file.close()
    return console.export_text()


def test_each_component_has_a_table():
    text = shown(families())
    for word in ("Circuit breakers", "open", "1,234", "34", "Caches", "75.0%", "rpm, forecast", "90"):
        assert word in text
    assert "Batchers" not in text


def test_the_calls_of_a_breaker_are_those_it_counted():
    breaker = CircuitBreaker("counted", failure_threshold=2)
    breaker.record_success(0.1)
    breaker.record_failure(ConnectionError(), 0.1)
    breaker.record_failure(ConnectionError(), 0.1)
    with pytest.raises(CircuitOpenError):
        breaker.call_sync(int)
    (line,) = [line for line in shown(list(breaker_families())).splitlines() if "counted" in line]
    assert re.findall(r"\d+", line) == ["4", "2", "1"]


def test_names_are_text_whatever_they_hold():
    text = shown(families())
    assert "[red]pay[/red]" in text
    assert "\x1b" not in text


async def test_one_look_at_a_server(capsys):
    async with api_server() as server:
        server.says(exposed(families()), "text/plain; version=0.0.4")
        assert await asyncio.to_thread(cli.main, ["top", "--once", "--target", server.url]) == 0
        assert "Circuit breakers" in capsys.readouterr().out
        server.says(b"", status=500)
        assert await asyncio.to_thread(cli.main, ["top", "--once", "--target", server.url]) == 1
        assert "the server answered 500" in " ".join(capsys.readouterr().out.split())


def test_a_target_that_is_no_address_is_refused(capsys):
    assert cli.main(["top", "--target", "file:///etc/passwd"]) == 2
    assert "target must be http" in capsys.readouterr().err


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "99999", "often"])
def test_an_interval_out_of_range_is_refused(interval, capsys):
    with pytest.raises(SystemExit):
        cli.main(["top", "--interval", interval])
    assert "--interval" in capsys.readouterr().err
