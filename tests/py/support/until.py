"""Waiting for what another task, thread or process brings about, without guessing how long it takes."""

import asyncio

PASSES = 8  # more than any wake-up in the library takes


async def settle(passes=PASSES):
    """Let everything run that can run now."""
    for _ in range(passes):
        await asyncio.sleep(0)


async def until(condition, limit=30.0):
    """Turn the loop until `condition` holds; the limit only ends a test that would hang."""
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0)
