"""An application's routes, those of included routers among them."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import routing
from starlette.routing import BaseRoute, compile_path


def flat(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """Yield each route with its whole `path`, its `methods` and its `endpoint`, as far as it has them.

    Newer versions of FastAPI keep an included router as one route and tell of those within by a function.
    """
    contexts = getattr(routing, "iter_route_contexts", None)
    yield from routes if contexts is None else contexts(list(routes))


def methods_of(routes: Iterable[BaseRoute], path: str) -> list[str]:
    """Return the methods that a path answers to, by all of its routes together."""
    methods: set[str] = set()
    for route in flat(routes):
        template = getattr(route, "path", None)
        if isinstance(template, str) and compile_path(template)[0].match(path):
            methods.update(getattr(route, "methods", None) or ())
    return sorted(methods)
