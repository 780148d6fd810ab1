"""Limits on request bodies: by their announced length before anything is read, else while they arrive."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

DEFAULT_MAX_BODY = 1024 * 1024


def too_large(limit: int) -> HTTPException:
    """Return the refusal of a body longer than `limit` bytes."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have at most {limit} bytes.")


def check_announced(length: bytes, limit: int) -> None:
    """Raise HTTPException 413 for a `Content-Length` above the limit; the server refuses malformed ones."""
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)


def limited(receive: Receive, limit: int) -> Receive:
    """Return a `receive` that raises HTTPException 413 once more than `limit` bytes have arrived."""
    arrived = 0

    async def counting() -> Message:
        nonlocal arrived
        message = await receive()
        if message["type"] == "http.request":
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise too_large(limit)
        return message

    return counting
