"""`GET` and `PUT /api/files/{path}`: the workspace over HTTP. Bodies are the files' bytes."""

import asyncio
import zlib
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from resilience.fastapi import EndpointConfig, problem_responses
from services import Services
from workspace import MAX_FILE_BYTES, BadPathError, NotAFileError, Workspace, WorkspaceFullError

ROUTE = "/api/files/{path:path}"
_ENCODINGS = frozenset({"gzip", "deflate"})
_ZLIB_OR_GZIP = 47  # zlib's largest window, with the header told apart by itself

# What the workspace takes, as clients can read it in the OpenAPI document.
_NAME = r"[^./\\%:\x00-\x1f\x7f][^/\\%:\x00-\x1f\x7f]{0,49}"
FilePath = Annotated[
    str, Path(pattern=f"^{_NAME}(/{_NAME}){{0,15}}$", description="names and single slashes")
]

router = APIRouter(tags=["files"])


async def body_of(request: Request) -> bytes:
    """Return a request's body, decompressed; raises HTTPException 413 as soon as it is too long."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity" and encoding not in _ENCODINGS:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it as it is, or as gzip or deflate.")
    unpack = zlib.decompressobj(_ZLIB_OR_GZIP) if encoding in _ENCODINGS else None
    body = bytearray()
    async for chunk in request.stream():
        if unpack is None:
            body += chunk
        else:
            body += _unpacked(unpack, chunk, MAX_FILE_BYTES + 1 - len(body))
        if len(body) > MAX_FILE_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A file may have at most {MAX_FILE_BYTES} bytes."
            )
    if unpack is not None and not unpack.eof:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The compressed body is not complete.")
    return bytes(body)


def _unpacked(unpack: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    try:
        return unpack.decompress(chunk, room)
    except zlib.error as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body is not what its encoding says.") from error


@router.get(
    ROUTE,
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **problem_responses(400, 404, 409)},
)
async def read_file(path: FilePath, request: Request) -> Response:
    """Return a file of the workspace."""
    services: Services = request.app.state.services
    try:
        content = await asyncio.to_thread(services.workspace.read, path)
    except FileNotFoundError:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.") from None
    except NotAFileError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from None
    except BadPathError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.put(
    ROUTE,
    status_code=HTTPStatus.NO_CONTENT,
    # 404: a path with a line break, which no route takes
    responses={201: {"description": "Created"}, **problem_responses(400, 404, 409, 413, 415, 507)},
)
async def write_file(path: FilePath, request: Request) -> Response:
    """Write a file of the workspace, whole or not at all."""
    services: Services = request.app.state.services
    content = await body_of(request)
    try:
        is_new = await asyncio.to_thread(services.workspace.write, path, content)
    except NotAFileError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from None
    except BadPathError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    except WorkspaceFullError as error:
        raise HTTPException(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from None
    return Response(status_code=HTTPStatus.CREATED if is_new else HTTPStatus.NO_CONTENT)


def attach(app: FastAPI, services: Services) -> None:
    """Open the workspace and mount its routes, which take longer bodies than others."""
    services.workspace = Workspace(services.settings.workspace)
    services.resilience.endpoints.add(ROUTE, EndpointConfig(max_body_bytes=MAX_FILE_BYTES))
    app.include_router(router)
