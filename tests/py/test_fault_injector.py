"""Injected faults: how many, which, and the same again for the same seed."""

import asyncio

import pytest

from resilience import CallTimeoutError, timeout
from resilience.testing import FaultInjector, ManualClock
from support.until import settle


async def outcomes(faults, calls=1_000):
    async def answer():
        return "ok"

    results = await asyncio.gather(*(faults.call(answer) for _ in range(calls)), return_exceptions=True)
    return [result if isinstance(result, str) else type(result).__name__ for result in results]


async def test_rates_are_met_and_equal_seeds_repeat():
    first = await outcomes(FaultInjector(error_rate=0.3, seed=7))
    assert first == await outcomes(FaultInjector(error_rate=0.3, seed=7))
    assert 250 < first.count("ConnectionError") < 350
    assert first.count("ok") + first.count("ConnectionError") == 1_000


async def test_latency_is_on_the_clock():
    clock = ManualClock()
    task = asyncio.create_task(outcomes(FaultInjector(latency_rate=1.0, latency=2.0, clock=clock), calls=1))
    await settle()
    clock.advance(1.999)
    await settle()
    assert not task.done()
    clock.advance(0.001)
    assert await task == ["ok"]


async def test_a_hang_ends_by_timeout_and_a_cancel_cancels():
    clock = ManualClock()
    hanging = FaultInjector(hang_rate=1.0)
    task = asyncio.create_task(timeout(5.0, clock=clock).call(hanging(asyncio.Event().wait)))
    await settle()
    clock.advance(5.0)
    with pytest.raises(CallTimeoutError):
        await task
    assert await outcomes(FaultInjector(cancel_rate=1.0), calls=3) == ["CancelledError"] * 3
    assert hanging.injected == {"hang": 1}


def test_plain_functions_fail_too():
    faults = FaultInjector(error_rate=1.0, error=lambda: OSError("made"))
    with pytest.raises(OSError, match="made"):
        faults(lambda: 1)()
    with pytest.raises(TypeError, match="plain function"):
        FaultInjector(hang_rate=0.1)(lambda: 1)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"error_rate": 1.5}, ValueError),
        ({"hang_rate": -0.1}, ValueError),
        ({"latency": -1}, ValueError),
        ({"error": 3}, TypeError),
        ({"seed": "x"}, TypeError),
        ({"error_rate": 0.6, "cancel_rate": 0.6}, ValueError),
    ],
)
def test_settings_out_of_range_name_the_argument(settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        FaultInjector(**settings)
