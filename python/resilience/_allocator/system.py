"""The process and the machine, read natively on Linux and through psutil elsewhere."""

import contextlib
import importlib
import os
import time
from typing import Any, Protocol

from resilience import _core


class SystemProbe(Protocol):
    """Something that reads the system."""

    def read(self) -> dict[str, Any]:
        """Return figures; None for what can't be had."""


class PsutilProbe:
    """The same figures from psutil, for systems without /proc.

    Raises:
        ModuleNotFoundError: when psutil isn't installed.
    """

    def __init__(self) -> None:
        try:
            psutil = importlib.import_module("psutil")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "system metrics need psutil on this platform: pip install 'resilience-native[system]'",
                name=error.name,
            ) from error
        self._psutil = psutil
        self._last: tuple[float, float] | None = None

    def read(self) -> dict[str, Any]:
        """Return figures of the process, its children and the machine; costs about a millisecond."""
        own = self._psutil.Process()
        family = [own, *own.children(recursive=True)]
        cpu = memory = 0.0
        files = threads = 0
        for process in family:
            with contextlib.suppress(self._psutil.Error), process.oneshot():
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss
                threads += process.num_threads()
                files += process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        now, last = time.monotonic(), self._last
        self._last = (now, cpu)
        machine = self._psutil.virtual_memory()
        return {
            "cpu_cores": max(0.0, cpu - last[1]) / (now - last[0]) if last and now > last[0] else None,
            "memory_bytes": memory,
            "memory_limit": float(machine.total),
            "memory_fraction": machine.percent / 100.0,
            "open_files": files,
            "threads": threads,
            "children": len(family) - 1,
            "load_1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "cpu_limit": None,
            "throttled_share": None,
        }


def system_probe() -> SystemProbe:
    """Return what reads the system here; read it off the event loop.

    Raises:
        ModuleNotFoundError: when this platform needs psutil and it isn't installed.
    """
    return _core.NativeSystemProbe() if _core.NativeSystemProbe.supported() else PsutilProbe()
