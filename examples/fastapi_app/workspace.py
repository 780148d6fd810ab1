"""An agent's workspace: files below one folder, which no path leaves.

Every folder on the way is opened relative to the one before and without following links, so that a link put there
by somebody else leads nowhere, however it is timed. Writes go to a new file that then takes the old one's place.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024
MAX_FILES = 10_000
MAX_DEPTH = 16
MAX_NAME_BYTES = 200
LONGEST_WRITE = 3600.0
"""Seconds after which nobody is still writing a file."""

_UNFINISHED = ".part"
_NO_PLAIN_PATH = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset("\\%:\x7f") | {chr(code) for code in range(32)}


class BadPathError(ValueError):
    """A path that isn't a plain relative one inside the workspace."""


class NotAFileError(BadPathError):
    """A path on which something else stands than plain folders and a file."""


class WorkspaceFullError(Exception):
    """The workspace holds as much as it may."""


def split(path: str) -> list[str]:
    """Return a path's names; raises BadPathError for one that could lead out or isn't plain."""
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        raise BadPathError(f"A path may have at most {MAX_DEPTH} names.")
    for name in names:
        if not name or name.startswith(".") or _FORBIDDEN.intersection(name):
            raise BadPathError(
                "A path is made of names that don't begin with a dot, separated by single slashes."
            )
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise BadPathError(f"A name may have at most {MAX_NAME_BYTES} bytes.")
    return names


class Workspace:
    """Reads and writes files below `root`, which is made when missing. Its methods block."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root = root.resolve()
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        """Remove what servers that were killed were writing; of live ones that share the folder nothing is as old."""
        oldest = time.time() - LONGEST_WRITE
        for _, _, names, folder in os.fwalk(self._root):
            for name in names:
                if not (name.startswith(".") and name.endswith(_UNFINISHED)):
                    continue
                with contextlib.suppress(OSError):  # another worker removes it as well
                    if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < oldest:
                        os.unlink(name, dir_fd=folder)

    def read(self, path: str) -> bytes:
        """Return a file; raises FileNotFoundError, or BadPathError for what isn't a regular file inside."""
        *folders, name = split(path)
        with self._folder(folders, make=False) as folder, _refusing():
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with open(handle, "rb") as file:  # noqa: PTH123 - a handle has no path
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise NotAFileError("This is not a file.")
                return file.read(MAX_FILE_BYTES + 1)

    def write(self, path: str, content: bytes) -> bool:
        """Write a file, whole or not at all; returns whether it is new."""
        *folders, name = split(path)
        if len(content) > MAX_FILE_BYTES:
            raise WorkspaceFullError(f"A file may have at most {MAX_FILE_BYTES} bytes.")
        self._check_room(len(content))
        with self._folder(folders, make=True) as folder, _refusing():
            is_new = _is_free(name, folder)
            temporary = f".{secrets.token_hex(8)}{_UNFINISHED}"
            handle = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder
            )
            try:
                with open(handle, "wb") as file:  # noqa: PTH123 - a handle has no path
                    file.write(content)
                    file.flush()
                    os.fsync(handle)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise
        return is_new

    def _check_room(self, wanted: int) -> None:
        count, total = 0, wanted
        for folder, _, names in os.walk(self._root):
            for name in names:
                count += 1
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(folder) / name).lstat().st_size
        if count >= MAX_FILES or total > MAX_TOTAL_BYTES:
            raise WorkspaceFullError("The workspace is full.")

    @contextlib.contextmanager
    def _folder(self, names: list[str], *, make: bool) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        current = os.open(self._root, flags)
        try:
            for name in names:
                if make:
                    with _refusing(), contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=current)
                with _refusing():
                    below = os.open(name, flags, dir_fd=current)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)


def _is_free(name: str, folder: int) -> bool:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(mode):
        raise NotAFileError("This is not a file.")
    return False


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Name the system's refusals: of links, of folders as files and files as folders, and for want of room."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise WorkspaceFullError("There is no room on the disk.") from error
        if error.errno in _NO_PLAIN_PATH:
            raise NotAFileError(
                "This path leads through something that isn't a plain folder or file."
            ) from error
        raise
