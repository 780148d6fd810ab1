"""Routes of included routers."""

import httpx
from fastapi import APIRouter, FastAPI

from resilience.fastapi import endpoint, install, lifespan


async def test_routers_that_are_included_under_a_prefix_are_measured_and_protected_by_their_whole_path():
    app = FastAPI()
    router = APIRouter(prefix="/inner")

    @router.get("/{item}")
    @endpoint(timeout=5)
    async def read(item: str) -> str:
        return item

    prefix = "/outer"
    app.include_router(router, prefix=prefix)
    state = install(app)
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http,
    ):
        assert (await http.get(f"{prefix}/inner/7")).status_code == 200
        refused = await http.post(f"{prefix}/inner/7")
    assert f"GET {prefix}/inner/{{item}}" in state.endpoints.names
    assert ("GET", f"{prefix}/inner/{{item}}", 200) in state.metrics.series
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET")
