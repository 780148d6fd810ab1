"""Cancelling many requests at random points, the same ones in every run of a seed."""

import asyncio
import gc
import os
import random

REQUESTS = int(os.environ.get("RESILIENCE_STORM_REQUESTS", "200"))


class CancelStorm:
    """Starts REQUESTS calls of ``request(number)``, most of which are cancelled after a random number of turns.

    An error that isn't a cancellation ends the storm. `finished` and `cancelled` count what became of the calls.
    """

    def __init__(self, request, *, seed, longest=60, at_once=40):
        self.finished = 0
        self.cancelled = 0
        self._request = request
        self._rng = random.Random(seed)
        self._longest = longest
        self._room = asyncio.Semaphore(at_once)

    async def run(self):
        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS):
                await self._room.acquire()
                patience = self._rng.randrange(self._longest) if self._rng.random() < 0.9 else 1_000_000
                group.create_task(self._one(number, patience, twice=self._rng.random() < 0.3))
        gc.collect()  # an object that was dropped unclosed warns now, which fails the test

    async def _one(self, number, patience, *, twice):
        task = asyncio.create_task(self._request(number))
        while patience and not task.done():
            patience -= 1
            await asyncio.sleep(0)
        task.cancel()
        if twice:  # an outer deadline passes while the first cancellation is cleaned up after
            await asyncio.sleep(0)
            task.cancel()
        try:
            await task
            self.finished += 1
        except asyncio.CancelledError:
            self.cancelled += 1
        finally:
            self._room.release()
