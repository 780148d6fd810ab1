"""Cancelling many requests at random points, the same ones in every run of a seed."""

import asyncio
import gc
import os
import random

REQUESTS = int(os.environ.get("RESILIENCE_STORM_REQUESTS", "200"))


async def cancel_storm(request, *, seed, longest=60, at_once=40):
    """Start REQUESTS calls of ``request(number)``, most of which are cancelled after a random number of turns.

    Returns:
        how many finished, were cancelled, and failed otherwise with what.
    """
    rng = random.Random(seed)
    outcome = {"finished": 0, "cancelled": 0, "failed": []}
    running = set()

    async def one(number, patience, twice):
        task = asyncio.create_task(request(number))
        for _ in range(patience):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        if twice:  # an outer deadline passes while the first cancellation is cleaned up after
            await asyncio.sleep(0)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcome["cancelled"] += 1
        except Exception as error:
            outcome["failed"].append(error)
            raise
        else:
            outcome["finished"] += 1

    for number in range(REQUESTS):
        patience = rng.randrange(longest) if rng.random() < 0.9 else 1_000_000
        task = asyncio.create_task(one(number, patience, rng.random() < 0.3))
        running.add(task)
        task.add_done_callback(running.discard)
        while len(running) >= at_once:
            await asyncio.sleep(0)
    await asyncio.gather(*running)
    gc.collect()  # an object that was dropped unclosed warns now, which fails the test
    return outcome
