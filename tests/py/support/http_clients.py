"""The three client libraries behind one face, for tests that hold for each of them."""

import dataclasses

from resilience.connections import ConnectionConfig, ConnectionManager

CLIENTS = ("aiohttp", "httpx", "httpx2")


def patient(config):
    """Wait as long as a busy machine may take, where the test doesn't say how long."""
    waits = ("http_pool_timeout", "http_connection_timeout")
    default = ConnectionConfig()
    unsaid = [name for name in waits if getattr(config, name) == getattr(default, name)]
    return dataclasses.replace(config, **dict.fromkeys(unsaid, 60.0))


class Client:
    """A manager's HTTP client: `get` reads a whole answer, `stream` yields chunks."""

    def __init__(self, library, config=None, **settings):
        self.library = library
        self.manager = ConnectionManager(
            patient(config or ConnectionConfig()), http_client=library, **settings
        )

    async def get(self, url):
        if self.library == "aiohttp":
            async with self.manager.http.get(url) as response:
                return response.status, await response.read()
        response = await self.manager.http.get(url)
        return response.status_code, response.content

    async def stream(self, url):
        if self.library == "aiohttp":
            async with self.manager.http.get(url) as response:
                async for chunk in response.content.iter_any():
                    yield chunk
            return
        async with self.manager.http.stream("GET", url) as response:
            async for chunk in response.aiter_raw():
                yield chunk

    @property
    def breaker(self):
        (only,) = self.manager.guard.breakers.values()
        return only

    @property
    def in_use(self):
        return self.manager.stats()["http"]["in_use"]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.manager.close()
