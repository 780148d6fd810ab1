"""An allocator's history across restarts: taken up once, saved while it grows; trouble with it is reported."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from resilience import _core
from resilience._allocator import history_file

_log = logging.getLogger("resilience.allocator")

_SAVE_EVERY = 30.0  # seconds at least between two saves


class KeptHistory:
    """What an allocator has seen, in a file; without a path nothing is kept.

    Args:
        native: The allocator's native half, which holds the samples.
        interval: Seconds between samples.
        path: The file.
        report: Told the kind and the details of a problem, from any thread.
    """

    def __init__(
        self,
        native: _core.NativeAllocator,
        interval: float,
        path: Path | None,
        report: Callable[[str, str], None],
    ) -> None:
        self._native = native
        self._interval = interval
        self._path = path
        self._report = report
        self._is_known = False
        self._saving: asyncio.Task[None] | None = None
        self._saved_at = -_SAVE_EVERY

    def take_as_known(self) -> None:
        """The file is not to be read any more: the past has come from elsewhere."""
        self._is_known = True

    async def take_up(self) -> None:
        """Read the file, the first time."""
        if self._path is not None and not self._is_known:
            self._is_known = True
            await asyncio.to_thread(self._restore, self._path)

    def save_now_and_then(self) -> None:
        """Begin to save when that was last done a while ago."""
        if self._path is None or (self._saving is not None and not self._saving.done()):
            return
        now = time.monotonic()
        if now - self._saved_at >= _SAVE_EVERY:
            self._saved_at = now
            self._saving = asyncio.get_running_loop().create_task(self.save())

    async def finish(self) -> None:
        """Wait for a save that has begun."""
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)

    async def save(self) -> None:
        """Replace the file."""
        if self._path is not None:
            await asyncio.to_thread(self._save, self._path)

    def _save(self, path: Path) -> None:
        try:
            history_file.save(path, self._interval, self._native.rows())
        except OSError as error:
            _log.warning("the history could not be saved: %s", error)
            self._report("history_not_saved", f"{path}: {error}")

    def _restore(self, path: Path) -> None:
        history_file.remove_unfinished(path)
        try:
            rows = history_file.load(path, self._interval)
            if rows is not None:
                self._native.restore(rows)
        except (history_file.HistoryFileError, ValueError) as error:
            self._set_aside(path, error)
        except OSError as error:
            _log.warning("the history could not be read: %s", error)
            self._report("history_not_read", f"{path}: {error}")

    def _set_aside(self, path: Path, error: Exception) -> None:
        try:
            kept = history_file.set_aside(path)
        except OSError as failure:
            self._report("history_not_read", f"{path} can't be used ({error}), nor set aside: {failure}")
            return
        _log.warning("the history %s can't be used: %s; it is kept as %s", path, error, kept.name)
        self._report("history_set_aside", f"{path} can't be used: {error}; it is kept as {kept.name}")
