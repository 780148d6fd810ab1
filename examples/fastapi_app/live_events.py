"""`WS /ws`: events of running work, for whoever watches.

An event tells what runs, never what was said: everybody sees the same. A reader that falls behind is dropped
rather than buffered for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, WebSocket, WebSocketDisconnect
from starlette.status import WS_1008_POLICY_VIOLATION, WS_1012_SERVICE_RESTART

from resilience.fastapi import correlation_id, is_foreign, problem_response
from services import Services

MAX_SESSIONS = 1_000
MAX_WAITING = 64

Queue = asyncio.Queue[dict[str, Any] | None]

router = APIRouter()


class LiveEvents:
    """The sessions that watch, and what they are told."""

    def __init__(self) -> None:
        self._sessions: dict[int, Queue] = {}
        self._ids = 0
        self.open = 0
        self.published = 0
        self.dropped = 0

    @property
    def sessions(self) -> int:
        """Sessions that watch now."""
        return len(self._sessions)

    def publish(self, kind: str, **facts: Any) -> None:
        """Tell every session; one that has not read its last 64 events is dropped."""
        self.published += 1
        event = {"event": kind, "correlation_id": correlation_id(), **facts}
        for session, queue in list(self._sessions.items()):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self.dropped += 1
                self._end(session)

    @contextlib.contextmanager
    def session(self) -> Any:
        """Watch until left; yields the session's queue, in which None is the end."""
        self._ids += 1
        session, queue = self._ids, Queue(MAX_WAITING)
        self._sessions[session] = queue
        self.open += 1
        try:
            yield queue
        finally:
            self.open -= 1
            self._sessions.pop(session, None)

    def end_all(self) -> None:
        """End every session, as the server does when it drains."""
        for session in list(self._sessions):
            self._end(session)

    def _end(self, session: int) -> None:
        queue = self._sessions.pop(session)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def figures(self) -> dict[str, int]:
        """Return what `GET /api/metrics` shows."""
        return {"sessions": self.sessions, "published": self.published, "dropped": self.dropped}


@router.websocket("/ws")
async def watch(websocket: WebSocket) -> None:
    """Send events until the client leaves, falls behind, or the server drains."""
    services: Services = websocket.app.state.services
    if is_foreign(websocket):
        await websocket.close(WS_1008_POLICY_VIOLATION)
        return
    if services.events.open >= MAX_SESSIONS:  # those among them that were dropped and have not left yet
        busy = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "There are as many watchers as there may be.")
        await websocket.send_denial_response(busy)
        return
    with services.events.session() as queue:
        await websocket.accept()
        reader = asyncio.create_task(_until_gone(websocket))
        try:
            await _send_all(websocket, queue, reader)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader


async def _send_all(websocket: WebSocket, queue: Queue, reader: asyncio.Task[None]) -> None:
    while True:
        getting = asyncio.create_task(queue.get())
        await asyncio.wait((getting, reader), return_when=asyncio.FIRST_COMPLETED)
        if reader.done():
            getting.cancel()
            return
        event = getting.result()
        if event is None:
            await websocket.close(WS_1012_SERVICE_RESTART)
            return
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.send_json(event)


async def _until_gone(websocket: WebSocket) -> None:
    """Read what the client sends, which is ignored, until it leaves."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def attach(app: FastAPI, services: Services) -> None:
    """Mount the route, and end its sessions when the server stops."""
    events = services.events = LiveEvents()
    services.figures["live_events"] = events.figures
    services.resilience.lifecycle.on_drain(events.end_all)
    app.include_router(router)

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            yield
        finally:
            events.end_all()

    services.while_running(running)
