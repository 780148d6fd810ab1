"""Who may act on a running service: the admin dependency.

Admin routes take a token. A development server bound to loopback lets its own user through without one,
unless something shows that the request came from elsewhere: a forwarding header, a foreign `Origin`, or a
`Host` that is no loopback name (a page whose DNS was rebound to 127.0.0.1).
"""

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from resilience._hosts import host_name, is_loopback

_log = logging.getLogger("resilience.audit")

_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class AdminPolicy:
    """What `require_admin` asks for.

    Attributes:
        token: The admin token; None lets nobody in but `open_on_loopback`.
        open_on_loopback: Development mode with the server bound to loopback.
        name_of: Returns whose a token is when it is an admin's by other means, as a JWT with that role, else None.
    """

    token: str | None = field(default=None, repr=False)
    open_on_loopback: bool = False
    name_of: Callable[[str], str | None] | None = None

    def check(self, connection: HTTPConnection) -> str:
        """Return who acts as an admin, for the audit log; raise HTTPException 401 or 403 for nobody who may."""
        if _is_cross_site(connection):
            raise HTTPException(HTTPStatus.FORBIDDEN, "Cross-site requests may not do this.")
        given = _token_of(connection)
        if given is None and self.open_on_loopback and _is_local(connection):
            return "this machine's user"
        if given is None:
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED, "An admin token is needed.", headers={"WWW-Authenticate": "Bearer"}
            )
        if self.token is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            return "the admin token"
        name = None if self.name_of is None else self.name_of(given)
        if name is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "This token is not an admin's.")
        return name


async def require_admin(connection: HTTPConnection) -> None:
    """Dependency of admin routes: 401 without a token, 403 with a wrong one or from another site.

    The policy is the one `install` was given. Each admitted request is written to the log `resilience.audit`.
    """
    who = connection.app.state.resilience.admin.check(connection)
    method, path = connection.scope.get("method", "WEBSOCKET"), connection.scope["path"]
    _log.info("admin request %s %r by %s", method, path, who)


def _token_of(connection: HTTPConnection) -> str | None:
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return None


def is_foreign(connection: HTTPConnection) -> bool:
    """Return whether a page of another site, or of none that can be told, has sent a request."""
    origin = connection.headers.get("origin")
    return origin is not None and _host_of(origin) != connection.headers.get("host", "").lower()


def _is_cross_site(connection: HTTPConnection) -> bool:
    if "origin" not in connection.headers or connection.scope.get("method") in _SAFE_METHODS:
        return connection.headers.get("sec-fetch-site") == "cross-site"
    return is_foreign(connection)


def _host_of(url: str) -> str | None:
    """Return host and port in a URL; None for what is none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _is_local(connection: HTTPConnection) -> bool:
    if any(name in connection.headers for name in _FORWARDING):
        return False
    client, server = connection.client, connection.scope.get("server")
    return (
        client is not None
        and is_loopback(client.host)
        and server is not None
        and is_loopback(server[0])
        and is_loopback(host_name(connection.headers.get("host", "")))
    )
