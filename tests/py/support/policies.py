"""What the tests of policies share: calls that wait for a gate, and calls that fail so many times."""

import asyncio


class Gate:
    """Calls that stop inside until they are let go; counts who is inside."""

    def __init__(self):
        self._open = asyncio.Event()
        self.inside = 0
        self.started = []

    def open(self):
        self._open.set()

    async def __call__(self, value=None):
        self.started.append(value)
        self.inside += 1
        try:
            await self._open.wait()
        finally:
            self.inside -= 1
        return value


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures, error=None):
        self.left = failures
        self.calls = 0
        self.error = ConnectionError("down") if error is None else error

    async def __call__(self, value="ok"):
        return self.sync(value)

    def sync(self, value="ok"):
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return value
