"""What a circuit breaker costs a call that does not suspend, in empty wrappers, against its peers.

One empty wrapper is what ``async def w(*a, **k): return await f(*a, **k)`` adds to a bare ``await f(x)``. Each
library guards the same function; the overhead is its time less the bare await's.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from harness import Row, arguments, drive, interleave, plot_bars, report, save, stopwatch

import resilience

CALLS = 2_000


async def f(x: int) -> int:
    return x


async def empty_wrapper(*args: Any, **kwargs: Any) -> Any:
    return await f(*args, **kwargs)


def ours(**settings: Any) -> Callable[..., Awaitable[Any]]:
    return resilience.CircuitBreaker(**settings)(f)


EVERYTHING = {
    "failure_rate_threshold": 0.5,
    "slow_call_duration": 5.0,
    "slow_call_rate_threshold": 0.5,
    "failure_threshold": 5,
}


def our_candidates() -> dict[str, Callable[..., Any]]:
    return {
        "resilience": ours(),
        "resilience, everything on": ours(**EVERYTHING),
        "resilience, window of an hour": ours(**EVERYTHING, monitor_window=3600.0),
        "resilience, last 100 calls": ours(**EVERYTHING, window_calls=100),
        "resilience, last 100,000 calls": ours(**EVERYTHING, window_calls=100_000),
    }


def circuitbreaker_peer() -> Callable[..., Any]:
    from circuitbreaker import circuit

    return circuit(failure_threshold=5)(f)


def hyx_peer() -> Callable[..., Any]:
    from hyx.circuitbreaker import consecutive_breaker

    return consecutive_breaker(exceptions=(Exception,), failure_threshold=5, recovery_time_secs=30)(f)


def purgatory_peer() -> Callable[..., Any]:
    from purgatory import AsyncCircuitBreakerFactory

    return AsyncCircuitBreakerFactory(default_threshold=5)("bench")(f)


def aiobreaker_peer() -> Callable[..., Any]:
    from aiobreaker import CircuitBreaker

    return CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=30))(f)


def pyresilience_peer() -> Callable[..., Any]:
    from pyresilience import CircuitBreakerConfig, resilient

    return resilient(circuit_breaker=CircuitBreakerConfig(failure_threshold=5))(f)


def interlock_peer() -> Callable[..., Any]:
    from interlock import CircuitBreaker

    breaker = CircuitBreaker(name="bench")

    async def guarded(x: int) -> int:
        return await breaker.call_async(f, x)

    return guarded


PEERS = {
    "circuitbreaker": circuitbreaker_peer,
    "hyx": hyx_peer,
    "purgatory": purgatory_peer,
    "aiobreaker": aiobreaker_peer,
    "pyresilience": pyresilience_peer,
    "interlock-cb": interlock_peer,
}


def peer_candidates() -> dict[str, Callable[..., Any]]:
    found = {}
    for name, make in PEERS.items():
        try:
            found[name] = make()
            drive(found[name](1))
        except Exception as error:  # noqa: BLE001 - a peer that can't run here is named, not hidden
            found.pop(name, None)
            print(f"{name} is left out: {type(error).__name__}: {error}")
    return found


async def raising(x: int) -> int:
    raise ValueError(x)


def rejecting() -> Callable[..., Any]:
    breaker = resilience.CircuitBreaker()
    breaker.trip(300)
    return breaker(f)


def loop_over_errors(function: Callable[..., Any]) -> Callable[[], object]:
    async def run() -> None:
        for _ in range(CALLS):
            try:  # not contextlib.suppress: its own cost would hide what is measured
                await function(1)
            except (ValueError, resilience.CircuitOpenError):
                continue

    return lambda: drive(run())


def measure_rejection(rounds: int) -> float:
    """What a rejection costs its caller, in raises of a plain exception."""
    timed = {
        "plain": stopwatch(loop_over_errors(raising), calls=CALLS),
        "rejected": stopwatch(loop_over_errors(rejecting()), calls=CALLS),
    }
    best = interleave(timed, rounds=rounds)
    report(
        "Raising and catching",
        [
            Row("a ValueError in the function", {"ns a call": best["plain"] * 1e9, "ratio": 1.0}),
            Row(
                "a rejection by an open breaker",
                {"ns a call": best["rejected"] * 1e9, "ratio": best["rejected"] / best["plain"]},
            ),
        ],
    )
    return best["rejected"] / best["plain"]


def loop_over(function: Callable[..., Any]) -> Callable[[], object]:
    async def run() -> None:
        for _ in range(CALLS):
            await function(1)

    return lambda: drive(run())


def main() -> None:
    options = arguments(__doc__ or "", rounds=200)
    candidates = {"bare await": f, "empty wrapper": empty_wrapper, **our_candidates()}
    if not options.no_peers:
        candidates |= peer_candidates()
    timed = {name: stopwatch(loop_over(function), calls=CALLS) for name, function in candidates.items()}
    best = interleave(timed, rounds=options.rounds)
    unit = best["empty wrapper"] - best["bare await"]
    overhead = {name: (seconds - best["bare await"]) / unit for name, seconds in best.items()}
    rows = [
        Row(name, {"ns a call": best[name] * 1e9, "empty wrappers": overhead[name]}) for name in candidates
    ]
    report("Overhead of a guarded call that does not suspend", rows)
    rejection = measure_rejection(options.rounds)
    nanoseconds = {name: seconds * 1e9 for name, seconds in best.items()}
    save("guarded_call", {"overhead": overhead, "nanoseconds": nanoseconds, "rejection_ratio": rejection})
    shown = {name: value for name, value in overhead.items() if name != "bare await"}
    plot_bars("guarded_call", "Overhead of a guarded call", "empty wrappers (log)", shown, ours="resilience")


if __name__ == "__main__":
    main()
