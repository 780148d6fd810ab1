"""Metrics of several worker processes as one.

A scrape reaches any one worker, so that its counters alone would jump from scrape to scrape. Each worker therefore
writes a snapshot into a shared folder, and whoever is scraped adds the others' to its own. Counters of workers
that are gone stay counted; their gauges don't. A server's folder goes when another server starts after its end: no
worker knows that it is the last one.
"""

import contextlib
import fcntl
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resilience._worker_folder import lives, make_private, remove_left_behind, shared_by_workers, started
from resilience.observability._families import Family, add_to

VARIABLE = "RESILIENCE_METRICS_DIR"
_GONE = "gone.json"
_LOCK = ".lock"
_UNFINISHED = ".tmp"


def shared_folder() -> Path | None:
    """Return the folder that the workers of this server share; None for a process on its own.

    Folders of servers that are gone are removed.

    `RESILIENCE_METRICS_DIR` names it; else uvicorn's and gunicorn's workers derive it from their parent's id.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        owner = parent.pid
    elif "gunicorn.arbiter" in sys.modules:
        owner = os.getppid()
    else:
        return None
    remove_left_behind("metrics")
    return shared_by_workers("metrics", owner)


class WorkerShare:
    """This worker's place in the shared folder.

    Args:
        folder: Made when missing; must belong to this user and be closed to others.

    Raises:
        PermissionError: When the folder is somebody else's, or open to others.
    """

    def __init__(self, folder: Path) -> None:
        make_private(folder, "metrics")
        self._folder = folder
        process = os.getpid()
        self._own = folder / f"{process}-{started(process)}-{time.time_ns()}.json"
        # on a full disk they are read one by one until the next worker folds them
        with contextlib.suppress(OSError), self._locked():
            self._remove_unfinished()
            self._fold_gone()

    def publish(self, families: Iterable[Family]) -> None:
        """Write this worker's snapshot, at once or not at all.

        Raises:
            OSError: when it can't be written; a folder that somebody removed is made again.
        """
        make_private(self._folder, "metrics")
        _write(self._own, families)

    def merged(self, own: Iterable[Family]) -> list[Family]:
        """Return this worker's families with those of all others added."""
        merged = {family.name: family for family in own}
        with self._locked():
            for path in self._others():
                alive = path.name != _GONE and _is_alive(path)
                for family in _read(path):
                    if alive or family.kind != "gauge":
                        add_to(merged, family)
        return list(merged.values())

    def _others(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob("*.json")) if path != self._own]

    def _remove_unfinished(self) -> None:
        """Remove what workers that were killed were writing.

        REQUIRES the lock, under which the common file is written.
        """
        for path in self._folder.glob(f"*{_UNFINISHED}"):
            if not _is_alive(path):
                path.unlink(missing_ok=True)

    def _fold_gone(self) -> None:
        """Put the counters of workers that are gone into one file, so that restarts don't fill the folder.

        REQUIRES the lock.
        """
        gone = [p for p in self._others() if p.name != _GONE and not _is_alive(p)]
        if not gone:
            return
        merged: dict[str, Family] = {}
        for path in [self._folder / _GONE, *gone]:
            for family in _read(path):
                if family.kind != "gauge":
                    add_to(merged, family)
        _write(self._folder / _GONE, merged.values())
        for path in gone:
            path.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_alive(path: Path) -> bool:
    """Return whether the process of a file lives; in a container that starts again, another one has its id."""
    try:
        process, since, _ = map(int, path.stem.split("-"))
    except ValueError:
        return False
    return lives(process, since)


def _write(path: Path, families: Iterable[Family]) -> None:
    plain = [asdict(family) | {"values": list(family.values.items())} for family in families]
    written = path.with_suffix(_UNFINISHED)
    written.write_text(json.dumps(plain), encoding="utf-8")
    written.replace(path)


def _read(path: Path) -> list[Family]:
    try:
        plain: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [_family(item) for item in plain]
    except (OSError, ValueError, LookupError, TypeError):
        return []  # a worker that just left, or a torn file: its counts come back with the next snapshot


def _family(item: dict[str, Any]) -> Family:
    values = {tuple((name, value) for name, value in labels): numbers for labels, numbers in item["values"]}
    return Family(item["name"], item["kind"], item["help"], item["merge"], values, tuple(item["bounds"]))
