"""The page's application: its files and its figures."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from resilience.dashboard._figures import FiguresUnavailableError, Gather, Scrape, as_json, own_breakers
from resilience.dashboard._guard import Guard, check_token
from resilience.errors import ResilienceError

_PAGE = Path(__file__).with_name("static")


def create_app(
    gather: Gather | None = None, *, target: str | None = None, token: str | None = None
) -> Starlette:
    """Make the dashboard, to be served by itself or mounted into another application.

    Args:
        gather: an async function that returns metric families, as ``app.state.resilience.sources.gather`` of an
            application with `install`; the breakers of this process when neither this nor `target` is given.
        target: the address of a server with ``/metrics`` to show instead.
        token: asked of every visitor, as a bearer token or as the password of any user, at least 32 bytes; without
            one, only this machine's own user is let in.

    Raises:
        TypeError: for both `gather` and `target`, or a token that is no text.
        ValueError: for a token that is too short, or a target that is no HTTP address.
        RuntimeError: when the page isn't built, as in a source tree before ``./dev dashboard``.
        ImportError: when Starlette, or for a `target` httpx or prometheus-client, isn't installed.
    """
    if gather is not None and target is not None:
        raise TypeError("give either gather or target")
    check_token(token)
    if not (_PAGE / "index.html").is_file():
        raise RuntimeError("the dashboard's page isn't built: run ./dev dashboard, or install a wheel")
    scrape = None if target is None else Scrape(target)
    figures = scrape or gather or own_breakers

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        if scrape is not None:
            await scrape.close()

    async def data(_request: Request) -> JSONResponse:
        try:
            families = await figures()
        except (FiguresUnavailableError, ResilienceError) as error:
            return _no_store({"detail": str(error)}, 502)
        return _no_store(as_json(families), 200)

    page: Any = StaticFiles(directory=_PAGE, html=True)
    return Starlette(
        routes=[Route("/data", data), Mount("/", page)],
        middleware=[Middleware(Guard, token=token)],
        lifespan=lifespan,
    )


def _no_store(content: Any, status: int) -> JSONResponse:
    return JSONResponse(content, status, {"Cache-Control": "no-store"})
