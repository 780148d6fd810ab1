"""Tokens: `POST /api/auth/token` gives a JWT to a configured user; `current_user` checks it.

The verifier is behind a breaker of its own, which denies when open. A wrong password or a bad token is an answer
of the verifier, not a failure of it, so that no visitor can open the breaker.
"""

import asyncio
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from resilience import bulkhead
from resilience.fastapi import problem_responses
from services import Services
from settings import Settings
from smart_dispatcher import circuit_breaker

ALGORITHM = "HS256"
ISSUER = "unified-server"
AUDIENCE = "unified-server-api"
LIFETIME = timedelta(minutes=30)
ADMIN = "admin"
MAX_TOKEN = 4_096

# scrypt's cost: 16 MiB and some tens of milliseconds a guess.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}

# More would take the memory and the cores that everybody else is served with.
HASHES_AT_ONCE = 2
WAITING_HASHES = 64
LONGEST_WAIT = 5.0

_ALLOWED_HEADERS = {"alg", "typ"}
_REQUIRED = ["exp", "iat", "sub", "aud", "iss"]

router = APIRouter(tags=["auth"])
bearer = OAuth2PasswordBearer("/api/auth/token", auto_error=False)


class Token(BaseModel):
    """The answer to a right password."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the kind of token, by OAuth2
    expires_in: int


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return `salt$hash` in hexadecimal, for the setting of users."""
    salt = salt if salt is not None else secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()}"


class Verifier:
    """Checks passwords and tokens of the configured users.

    Args:
        settings: A random secret stands in for a missing one in development: tokens end with the process.
    """

    def __init__(self, settings: Settings) -> None:
        secret = settings.jwt_secret
        self._secret = secret.get_secret_value() if secret else secrets.token_urlsafe(48)
        self._users = {name: stored.get_secret_value() for name, stored in settings.users.items()}
        self._admins = settings.admins
        self._decoy = hash_password(secrets.token_hex(8))
        self.verify = circuit_breaker("auth")(self._subject)
        self.admin_of = circuit_breaker("auth")(self._admin)
        self.check_password = circuit_breaker("auth")(self._check_password)
        self._hashing = bulkhead(
            HASHES_AT_ONCE, max_waiting=WAITING_HASHES, max_wait=LONGEST_WAIT, name="password_hashing"
        )

    async def admits(self, name: str, password: str) -> bool:
        """Check a password in a thread; raises BulkheadFullError while too many are being checked."""
        return bool(await self._hashing.call(asyncio.to_thread, self.check_password, name, password))

    def issue(self, subject: str) -> Token:
        """Return a token for a user."""
        now = datetime.now(UTC)
        claims = {"sub": subject, "iat": now, "exp": now + LIFETIME, "iss": ISSUER, "aud": AUDIENCE}
        if subject in self._admins:
            claims["role"] = ADMIN
        token = jwt.encode(claims, self._secret, algorithm=ALGORITHM)
        return Token(access_token=token, expires_in=int(LIFETIME.total_seconds()))

    def _check_password(self, name: str, password: str) -> bool:
        """Compare in the same time for a known and an unknown user."""
        stored = self._users.get(name, self._decoy)
        salt, _, _ = stored.partition("$")
        matches = hmac.compare_digest(hash_password(password, bytes.fromhex(salt)), stored)
        return matches and name in self._users

    def _subject(self, token: str) -> str | None:
        """Return whose token it is, None for a bad one."""
        claims = self._claims(token)
        return None if claims is None else claims["sub"]

    def _admin(self, token: str) -> str | None:
        """Return whose token it is when it was given to an admin who still is one."""
        claims = self._claims(token)
        if claims is None or claims.get("role") != ADMIN or claims["sub"] not in self._admins:
            return None
        return str(claims["sub"])

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a good token, None for a bad one."""
        if len(token) > MAX_TOKEN:
            return None
        try:
            if not set(jwt.get_unverified_header(token)) <= _ALLOWED_HEADERS:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": _REQUIRED},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        return claims if claims["sub"] in self._users else None


async def current_user(request: Request, token: Annotated[str | None, Depends(bearer)]) -> str:
    """Dependency: the authenticated user's name; 401 without a good token, 503 while the verifier rests."""
    services: Services = request.app.state.services
    subject = services.verifier.verify(token) if token is not None else None
    if subject is None:
        headers = {"WWW-Authenticate": "Bearer"}
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "A valid token is needed.", headers=headers)
    return subject


@router.post("/api/auth/token", responses=problem_responses(401))
async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()], request: Request) -> Token:
    """Give a token for a name and a password."""
    services: Services = request.app.state.services
    if not await services.verifier.admits(form.username, form.password):
        headers = {"WWW-Authenticate": "Bearer"}
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "Wrong name or password.", headers=headers)
    return services.verifier.issue(form.username)


@router.get("/api/auth/me", responses=problem_responses(401))
async def me(user: Annotated[str, Depends(current_user)]) -> dict[str, str]:
    """Return whose token this is."""
    return {"user": user}


def attach(app: FastAPI, services: Services) -> None:
    """Mount the routes."""
    services.verifier = Verifier(services.settings)
    app.include_router(router)
