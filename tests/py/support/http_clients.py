"""The three client libraries behind one face, for tests that hold for each of them."""

from resilience.connections import ConnectionConfig, ConnectionManager

CLIENTS = ("aiohttp", "httpx", "httpx2")


class Client:
    """A manager's HTTP client: `get` reads a whole answer, `stream` yields chunks."""

    def __init__(self, library, config=None, **settings):
        self.library = library
        self.manager = ConnectionManager(config or ConnectionConfig(), http_client=library, **settings)

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
