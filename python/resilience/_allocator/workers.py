"""The worker processes of a server, counted and resized through their supervisor: gunicorn's or uvicorn's.

Each worker keeps a locked file in a folder that it shares with its siblings; the system takes the lock away when it
ends, however it ends. One of them, which holds the folder's own lock, speaks to the supervisor. The last to leave
removes the folder; one whose workers were killed goes when the next server starts.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import weakref
from pathlib import Path

from resilience import _fork
from resilience._worker_folder import make_private, remove_left_behind, shared_by_workers

if sys.platform != "win32":
    import fcntl

STARTING = 120.0  # seconds in which a worker must have started
_POLL = 0.05
_SUFFIX = ".worker"
_LEADER = "leader"


class WorkerProcesses:
    """Counts the workers that serve, and asks their supervisor for more or fewer.

    Make one in each worker, when it is ready to serve. `resize` suits `bind("workers", ...)`: it returns once as many
    serve as were asked for, so that how long a start takes is learned; in all workers but one it only counts. Close
    it before the monitoring stops: the worker that is told to go may be the one that waits for it.

    Args:
        supervisor: Its process id; it takes SIGTTIN and SIGTTOU as gunicorn does.
        folder: Shared by the workers; by default one of the supervisor's id in the folder for temporary files.

    Raises:
        PermissionError: when the folder is somebody else's, or open to others.
    """

    def __init__(self, supervisor: int, folder: Path | None = None) -> None:
        self._supervisor = supervisor
        if folder is None:
            remove_left_behind("workers")
        self._folder = folder if folder is not None else shared_by_workers("workers", supervisor)
        self._own = self._folder / f"{os.getpid()}{_SUFFIX}"
        self._held = _join(self._own)
        self._leads = False
        self._resizing = asyncio.Lock()
        self._finalizer = weakref.finalize(self, _leave, self._own, self._held, _fork.forks)

    def count(self) -> int:
        """Return how many workers serve."""
        return sum(path == self._own or _is_held(path) for path in self._folder.glob("*" + _SUFFIX))

    async def resize(self, size: int) -> int:
        """Ask for so many workers, at least one, and return how many serve once they do, or once this one leaves.

        Args:
            size: workers, all of the supervisor's together.

        Raises:
            TimeoutError: when not as many serve after two minutes.
            ProcessLookupError: when the supervisor is gone.
        """
        async with self._resizing:
            if not self._may_lead():
                return self.count()
            missing = max(1, size) - self.count()
            wanted = signal.SIGTTIN if missing > 0 else signal.SIGTTOU
            async with asyncio.timeout(STARTING):
                for _ in range(abs(missing)):
                    if self._finalizer.alive:
                        await self._ask(wanted)  # signals of one kind don't queue: one at a time
            return self.count()

    def close(self) -> None:
        """Count as gone."""
        self._finalizer()

    async def _ask(self, wanted: signal.Signals) -> None:
        before = self.count()
        os.kill(self._supervisor, wanted)
        while await asyncio.to_thread(self.count) == before and self._finalizer.alive:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_POLL)

    def _may_lead(self) -> bool:
        if not self._leads:
            leader = _locked_file(self._folder / _LEADER, wait=False)
            if leader is not None:
                self._held.append(leader)
                self._leads = True
        return self._leads


def worker_processes() -> WorkerProcesses | None:
    """Return the workers that this process is one of; None where no supervisor is known to take orders."""
    if sys.platform == "win32":
        return None
    parent = multiprocessing.parent_process()
    if "gunicorn.arbiter" in sys.modules:
        supervisor = os.getppid()
    elif parent is not None and parent.pid is not None and "uvicorn" in sys.modules:
        supervisor = parent.pid
    else:
        return None
    return WorkerProcesses(supervisor) if _takes_orders(supervisor) else None


def _takes_orders(process: int) -> bool:
    """Return whether a process catches both signals; one that doesn't would be stopped by them."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "gunicorn.arbiter" in sys.modules  # no /proc: gunicorn is known to
    caught = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt")), 0)
    return all(caught >> (each - 1) & 1 for each in (signal.SIGTTIN, signal.SIGTTOU))


def _join(own: Path) -> list[int]:
    """Make this worker's file, and the folder when it is missing; again when a sibling that left removed it.

    The folder is locked as well: so systemd-tmpfiles, which removes old files, knows that it is to be let be.
    """
    while True:
        make_private(own.parent, "workers'")
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
            folder = os.open(own.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_SH)
            descriptor = _locked_file(own)
            assert descriptor is not None  # noqa: S101 - it waited for it
            opened.pop_all()
            return [folder, descriptor]


def _locked_file(path: Path, *, wait: bool = True) -> int | None:
    """Make a file and lock it; again when it was removed meanwhile. None when it is locked and nobody waits."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    """Return whether the worker of a file lives; a file left behind is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _leave(own: Path, held: list[int], forks: int) -> None:
    """Give up file and locks, and remove the folder when nobody is left in it."""
    if forks != _fork.forks:
        return  # it is the parent's
    own.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a sibling joins or leaves at this moment
        if not any(_is_held(path) for path in own.parent.glob("*" + _SUFFIX)):
            (own.parent / _LEADER).unlink(missing_ok=True)
            own.parent.rmdir()
    for descriptor in held:
        os.close(descriptor)
    held.clear()
