"""What our calls cost beside plain ones, measured in this process and printed as JSON.

A process of its own each time: where the interpreter's memory lies moves these figures more than what else the
machine does.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cache
import guarded_call
import pipeline
from harness import interleave, stopwatch

import resilience

ROUNDS = 300


def wrappers(*, rounds: int) -> dict[str, float]:
    """Return the overhead of a guarded call and of a pipeline, in empty wrappers."""
    loop = asyncio.new_event_loop()
    guarded = guarded_call.ours(**guarded_call.EVERYTHING)
    timed = {
        name: stopwatch(guarded_call.loop_over(function), calls=guarded_call.CALLS)
        for name, function in {
            "bare": guarded_call.f,
            "wrapper": guarded_call.empty_wrapper,
            "guarded": guarded,
        }.items()
    }
    run = pipeline.loop_over(loop, pipeline.ours(), pipeline.CALLS)
    timed["pipeline"] = stopwatch(run, calls=pipeline.CALLS)
    best = interleave(timed, rounds=rounds)
    loop.close()
    unit = best["wrapper"] - best["bare"]
    return {name: (best[name] - best["bare"]) / unit for name in ("guarded", "pipeline")}


def cached_call(*, rounds: int) -> float:
    """Return the time of an awaited hit over that of awaiting a trivial coroutine."""
    with asyncio.Runner() as runner:
        functions = {"bare": cache.trivial, "cached": resilience.cache(ttl=300)(cache.trivial)}
        for function in functions.values():
            runner.run(cache.warmed(function))
        best = interleave(
            {name: cache.awaiting(runner, function) for name, function in functions.items()}, rounds=rounds
        )
    return best["cached"] / best["bare"]


def main() -> None:
    json.dump(wrappers(rounds=ROUNDS) | {"cached call": cached_call(rounds=ROUNDS)}, sys.stdout)


if __name__ == "__main__":
    main()
