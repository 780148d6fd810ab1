"""Loads that count, can fail and can be held."""

from resilience import cache


class Calls:
    """An async function that counts, can fail and can be held."""

    def __init__(self):
        self.count = 0
        self.error = None
        self.gate = None

    async def __call__(self, *args):
        self.count += 1
        number = self.count
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return (*args, number)


def cached(calls, **settings):
    @cache(**settings)
    async def function(x=0):
        return await calls(x)

    return function
