"""What several policies around a call that does not suspend cost, in empty wrappers, against their peers.

Everybody puts retry, circuit breaker, bulkhead, timeout and, where there is one, a rate limit around the same
function. One empty wrapper is what ``async def w(*a, **k): return await f(*a, **k)`` adds to a bare ``await f(x)``.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from harness import Row, arguments, interleave, plot_bars, report, save, stopwatch

import resilience

CALLS = 1_000


async def f(x: int) -> int:
    return x


async def empty_wrapper(*args: Any, **kwargs: Any) -> Any:
    return await f(*args, **kwargs)


def breaker() -> resilience.CircuitBreaker:
    return resilience.CircuitBreaker(
        failure_rate_threshold=0.5, slow_call_duration=5.0, slow_call_rate_threshold=0.5, failure_threshold=5
    )


def ours() -> Callable[..., Any]:
    return resilience.Pipeline(
        retry=resilience.retry(on=ConnectionError),
        circuit_breaker=breaker(),
        rate_limit=resilience.rate_limit(1e8),
        bulkhead=resilience.bulkhead(100),
        timeout=5.0,
    )(f)


def everything() -> Callable[..., Any]:
    return resilience.Pipeline(
        fallback=resilience.fallback(None),
        total_timeout=30.0,
        retry=resilience.retry(on=ConnectionError),
        circuit_breaker=breaker(),
        rate_limit=resilience.rate_limit(1e8),
        bulkhead=resilience.bulkhead(100),
        adaptive_limit=resilience.adaptive_limit(),
        timeout=5.0,
    )(f)


OURS: dict[str, Callable[[], Callable[..., Any]]] = {
    "resilience": ours,
    "resilience, all policies but hedge": everything,
    "resilience, bulkhead alone": lambda: resilience.bulkhead(100)(f),
    "resilience, rate limit alone": lambda: resilience.rate_limit(1e8)(f),
    "resilience, timeout alone": lambda: resilience.timeout(5.0)(f),
    "resilience, retry alone": lambda: resilience.retry(on=ConnectionError)(f),
    "resilience, adaptive limit alone": lambda: resilience.adaptive_limit()(f),
}


def pyresilience_peer() -> Callable[..., Any]:
    import pyresilience as peer

    return peer.resilient(
        retry=peer.RetryConfig(max_attempts=3, retry_on=(ConnectionError,)),
        timeout=peer.TimeoutConfig(seconds=5.0),
        circuit_breaker=peer.CircuitBreakerConfig(failure_threshold=5),
        bulkhead=peer.BulkheadConfig(max_concurrent=100),
        rate_limiter=peer.RateLimiterConfig(max_calls=10**8, period=1.0),
    )(f)


def interlock_peer() -> Callable[..., Any]:
    import interlock as peer

    pipeline = (
        peer.Pipeline.builder()
        .retry(attempts=3)
        .circuit_breaker(peer.CircuitBreaker(name="bench"))
        .bulkhead(100)
        .timeout(5.0)
        .build()
    )

    async def guarded(x: int) -> Any:
        return await pipeline.call(f, x)

    return guarded


def assembled_peer() -> Callable[..., Any]:
    """A service's own assembly of the usual parts."""
    from circuitbreaker import circuit
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    semaphore = asyncio.Semaphore(100)

    @retry(
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(),
        retry=retry_if_exception_type(ConnectionError),
        reraise=True,
    )
    @circuit(failure_threshold=5)
    async def guarded(x: int) -> int:
        async with semaphore, asyncio.timeout(5.0):
            return await f(x)

    return guarded


PEERS = {
    "pyresilience": pyresilience_peer,
    "interlock-cb (no rate limit)": interlock_peer,
    "circuitbreaker + tenacity + Semaphore + asyncio.timeout (no rate limit)": assembled_peer,
}


def candidates(*, peers: bool, loop: asyncio.AbstractEventLoop) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {"bare await": f, "empty wrapper": empty_wrapper}
    found |= {name: make() for name, make in OURS.items()}
    for name, make in PEERS.items() if peers else ():
        try:
            found[name] = make()
            loop.run_until_complete(loop.create_task(found[name](1)))
        except Exception as error:  # noqa: BLE001 - a peer that can't run here is named, not hidden
            found.pop(name, None)
            print(f"{name} is left out: {type(error).__name__}: {error}")
    return found


def loop_over(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Any], calls: int
) -> Callable[[], object]:
    async def run() -> None:
        for _ in range(calls):
            await function(1)

    return lambda: loop.run_until_complete(run())


def main() -> None:
    options = arguments(__doc__ or "", rounds=150)
    loop = asyncio.new_event_loop()
    functions = candidates(peers=not options.no_peers, loop=loop)
    calls = {name: CALLS if name not in PEERS else CALLS // 20 for name in functions}
    timed = {
        name: stopwatch(loop_over(loop, function, calls[name]), calls=calls[name])
        for name, function in functions.items()
    }
    best = interleave(timed, rounds=options.rounds)
    loop.close()
    unit = best["empty wrapper"] - best["bare await"]
    overhead = {name: (seconds - best["bare await"]) / unit for name, seconds in best.items()}
    report(
        "Overhead of several policies around a call that does not suspend",
        [Row(name, {"ns a call": best[name] * 1e9, "empty wrappers": overhead[name]}) for name in functions],
    )
    save(
        "pipeline", {"overhead": overhead, "nanoseconds": {name: value * 1e9 for name, value in best.items()}}
    )
    shown = {name: value for name, value in overhead.items() if name != "bare await"}
    plot_bars("pipeline", "Overhead of several policies", "empty wrappers (log)", shown, ours="resilience")


if __name__ == "__main__":
    main()
