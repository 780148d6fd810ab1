"""Permits of ``with`` blocks: who holds which, when one policy guards many blocks at once."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Protocol, Self

from resilience import _core
from resilience._in_trio import in_trio


class Admitting(Protocol):
    """A policy that can admit a block and be told how it ended."""

    def _admit(self) -> Any: ...
    def _settle(self, token: Any, error: BaseException | None, released: bool) -> None: ...  # noqa: FBT001


class GuardContext:
    """One guarded block, for ``with`` or ``async with``; may be entered once.

    A block that is left by an exception counts as that exception does; one that is cancelled counts for nothing.
    """

    __slots__ = ("_policy", "_state", "_token")

    def __init__(self, policy: Admitting) -> None:
        self._policy = policy
        self._token: Any = None
        self._state = "new"

    def __enter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("a guard() can be entered once; call guard() again for another block")
        if _core.bypassed():
            self._state = "let through"
        else:
            self._token = self._policy._admit()  # noqa: SLF001
            self._state = "entered"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        state, self._state = self._state, "left"
        if state == "let through":
            return
        if state != "entered":
            raise RuntimeError("guard() was left without being entered")
        self._policy._settle(self._token, error, released=False)  # noqa: SLF001

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        if self._state == "entered":  # never left: give the permit back without a verdict
            self._policy._settle(self._token, None, released=True)  # noqa: SLF001


def _current_holder() -> object:
    """Whoever runs now: the task of asyncio or trio, or the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return task
    if not in_trio():
        return threading.get_ident()
    from trio.lowlevel import current_task  # it is running, so it has been imported

    return current_task()


class ContextStack:
    """Guarded blocks that are open, per task or thread, last in first out."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[object, list[GuardContext]] = {}

    def enter(self, policy: Admitting) -> None:
        """Open a block for whoever runs now; raises what the policy refuses with."""
        context = GuardContext(policy)
        context.__enter__()
        self._open.setdefault(_current_holder(), []).append(context)

    def leave(self, error: BaseException | None) -> None:
        """Close the newest block of whoever runs now."""
        holder = _current_holder()
        contexts = self._open.get(holder)
        if not contexts:
            raise RuntimeError("the block was left by another task or thread than the one that entered it")
        context = contexts.pop()
        if not contexts:
            del self._open[holder]
        context.__exit__(None if error is None else type(error), error, None)
