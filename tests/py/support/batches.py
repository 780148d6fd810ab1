"""What the batcher's tests share: batch functions that note what they are given, or fail for certain items."""

import asyncio


class Recorder:
    """A batch function that notes what it is given, and can be held until it is let go."""

    def __init__(self, *, held=False):
        self.batches = []
        self.release = asyncio.Event()
        self.running = 0
        self.most_running = 0
        if not held:
            self.release.set()

    async def __call__(self, items):
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.release.wait()
        finally:
            self.running -= 1
        return [item * 10 for item in items]

    async def until(self, batches):
        async with asyncio.timeout(30):
            while len(self.batches) < batches:
                await asyncio.sleep(0)


def add_many(batcher, items):
    return [batcher.add_request(item, item) for item in items]


async def wait_for(batcher, item, **options):
    return await batcher.add_request(item, item, **options)


class PoisonedError(Exception):
    pass


def poisoned_by(*bad):
    calls = []

    async def process(items):
        calls.append(list(items))
        if poison := set(bad) & set(items):
            raise PoisonedError(sorted(poison))
        return [item * 10 for item in items]

    return process, calls
