"""Folders that the worker processes of one server share, named after their supervisor.

Nobody removes them for workers that were killed, so whoever makes one removes those whose supervisor is gone. Its
name therefore says who the supervisor is beyond its process id, which the system gives out again: the time it
started, and the container that its id is counted in where several share one folder for temporary files.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path


def shared_by_workers(kind: str, supervisor: int) -> Path:
    """Return the folder for one kind of thing that the workers of a supervisor share; it need not be there."""
    return Path(tempfile.gettempdir()) / f"{_prefix(kind)}{supervisor}-{started(supervisor)}"


def make_private(folder: Path, what: str) -> None:
    """Make a folder if it is missing; again when a sibling removes it meanwhile.

    Args:
        folder: Its parents are made as well.
        what: The folder's name for the error.

    Raises:
        PermissionError: when it is somebody else's, open to others, or no folder.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
        with contextlib.suppress(FileNotFoundError):
            if _is_private(folder):
                return
            raise PermissionError(f"the {what} folder must be this user's own, with mode 700: {folder}")


def remove_left_behind(kind: str) -> None:
    """Remove the folders of one kind whose supervisor is gone."""
    name = re.compile(re.escape(_prefix(kind)) + r"(\d+)-(\d+)")
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(kind)}*"):
        found = name.fullmatch(folder.name)
        if found is None or lives(int(found[1]), int(found[2])):
            continue
        with contextlib.suppress(FileNotFoundError):  # workers that start at once all remove it
            if _is_private(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _prefix(kind: str) -> str:
    return f"resilience-{kind}-{os.getuid()}-{_container()}-"


def _container() -> int:
    """Return which process ids are meant: containers count their own. 0 where there is no /proc."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def started(process: int) -> int:
    """Return when a process started, in ticks since the system did; 0 where that can't be had."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(fields.rpartition(")")[2].split()[19])


def lives(process: int, since: int) -> bool:
    """Return whether a process lives and is the one that `started` then: ids are given out again."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return since == started(process)


def _is_private(folder: Path) -> bool:
    info = folder.lstat()
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077
