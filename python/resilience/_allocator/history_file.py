"""The allocator's history on disk: one file, replaced whole or not at all."""

import contextlib
import json
import math
import os
import re
import struct
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

_MAGIC = b"resilience-history-1\n"
_LENGTHS = struct.Struct("<II")  # of the settings, and a checksum over settings and rows
_LONGEST_FILE = 128 * 1024 * 1024  # 28 days of seconds are 116 MB
_LONGEST_SAVE = 3600.0  # seconds after which nobody is still writing
_ROW = struct.Struct("<6d")
_COLUMNS = ("timestamp", "rpm", "connections", "response_time", "cpu_cores", "memory_fraction")


class HistoryFileError(Exception):
    """A history file that is torn, or was never one."""


def rows(samples: Iterable[Mapping[str, float | None]]) -> bytes:
    """Return samples as they stand in the file.

    Raises:
        ValueError: when one has no timestamp.
    """
    packed = bytearray()
    for sample in samples:
        if sample["timestamp"] is None:
            raise ValueError("a sample of the past needs a timestamp")
        packed += _ROW.pack(*(math.nan if (value := sample[name]) is None else value for name in _COLUMNS))
    return bytes(packed)


def save(path: Path, interval: float, rows: bytes) -> None:
    """Replace the file at once, so that a crash leaves the old one or the new one.

    Raises:
        OSError: when it can't be written.
    """
    settings = json.dumps({"interval": interval}).encode()
    head = _MAGIC + _LENGTHS.pack(len(settings), zlib.crc32(settings + rows))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(head + settings + rows)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed while they saved left beside the file.

    Workers of several machines may share its folder, so that age alone tells that nobody writes any more.
    """
    name = re.compile(re.escape(path.name) + r"\w{8}\.tmp")
    oldest = time.time() - _LONGEST_SAVE
    for found in path.parent.glob("*.tmp"):
        with contextlib.suppress(OSError):  # another worker removes it as well, or it is somebody else's
            if name.fullmatch(found.name) and found.lstat().st_mtime < oldest:
                found.unlink()


def load(path: Path, interval: float) -> bytes | None:
    """Return the rows that were saved, None when there is no file.

    Raises:
        HistoryFileError: when the file is torn, foreign, or of another interval.
        OSError: when it can't be read.
    """
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise HistoryFileError(f"it is longer than {_LONGEST_FILE} bytes")
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    start = len(_MAGIC) + _LENGTHS.size
    if not content.startswith(_MAGIC) or len(content) < start:
        raise HistoryFileError("it is no history file")
    length, checksum = _LENGTHS.unpack_from(content, len(_MAGIC))
    body = content[start:]
    if length > len(body) or zlib.crc32(body) != checksum:
        raise HistoryFileError("it is torn")
    saved = _interval(body[:length])
    if saved != interval:
        raise HistoryFileError(f"its interval is {saved} s, not {interval} s")
    return body[length:]


def _interval(settings: bytes) -> float:
    """Return the interval that a file was written with; a checksum proves no author."""
    try:
        found = json.loads(settings)["interval"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise HistoryFileError("its settings are not ours") from error
    if not isinstance(found, int | float):
        raise HistoryFileError("its settings are not ours")
    return float(found)


def set_aside(path: Path) -> Path:
    """Rename a file that can't be used, so that nothing is lost; return its new name.

    Raises:
        OSError: when it can't be renamed.
    """
    kept = path.with_name(f"{path.name}.unusable-{time.time_ns()}")
    return path.rename(kept)
