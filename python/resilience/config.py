"""Settings from a file or mapping, for a whole process at once.

A configuration has a section for each kind of policy, such as `circuit_breakers`, whose entries are names or
families (`llm.*`), and a section `defaults`. Settings are inherited from defaults to family to name. Durations are
written `30`, `30s`, `500ms`, `2m` or `1h`, rates `0.6` or `60%`. A configuration takes effect as a whole or not at
all, and breakers that exist keep their state.

    defaults:
      recovery_timeout: 30s
    circuit_breakers:
      llm.*:
        failure_rate_threshold: 60%
      llm.openai:
        recovery_timeout: 10s
"""

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resilience.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from resilience._config.schema import Entries

__all__ = ["ConfigError", "check", "configure", "reload"]

_lock = threading.Lock()
_source: "Path | Mapping[Any, Any] | None" = None


def configure(path_or_mapping: "str | os.PathLike[str] | Mapping[str, Any]") -> None:
    """Put a configuration into effect: all of it, or, when anything in it is wrong, nothing.

    It replaces the configuration before it. Settings that it doesn't mention are those that code asked for.

    Args:
        path_or_mapping: a file ending in ``.yaml``, ``.yml`` (with the extra ``yaml``) or ``.toml``, of at most
            256 KiB, or a mapping of the same shape.

    Raises:
        ConfigError: for a syntax error, an unknown or repeated key, a value of the wrong type or out of range, or
            settings that do not go together; it names the key and the line.
        OSError: when the file cannot be read.
        ImportError: for YAML without PyYAML.
        TypeError: for an argument that is neither path nor mapping.
    """
    source = _as_source(path_or_mapping)
    with _lock:
        _apply(source)


def reload() -> None:
    """Read what was last given to :func:`configure` again, and put it into effect if it is good.

    Breakers keep their state and history; those whose settings did not change are not touched at all.

    Raises:
        RuntimeError: when nothing has been configured.
        ConfigError: as :func:`configure`; what was in effect stays so.
        OSError: when the file cannot be read; what was in effect stays so.
    """
    with _lock:
        if _source is None:
            raise RuntimeError("reload() reads again what configure() was given, and that was nothing yet")
        _apply(_source)


def check(path_or_mapping: "str | os.PathLike[str] | Mapping[str, Any]") -> dict[str, int]:
    """Check a configuration as :func:`configure` does, and change nothing.

    Args:
        path_or_mapping: a path that ends in ``.yaml``, ``.yml`` or ``.toml``, or the settings themselves.

    Returns:
        the number of names and families of each section.

    Raises:
        ConfigError: as :func:`configure`.
        OSError: when the file cannot be read.
    """
    from resilience._config import plan

    entries = _entries(_as_source(path_or_mapping))
    plan.prepare(entries)
    return {name: len(section) for name, section in entries.items()}


def _as_source(given: object) -> "Path | Mapping[Any, Any]":
    if isinstance(given, Mapping):
        return given
    if isinstance(given, str | os.PathLike):
        from pathlib import Path

        return Path(given).absolute()
    raise TypeError(f"path_or_mapping must be a path or a mapping, got {type(given).__name__}")


def _entries(source: "Path | Mapping[Any, Any]") -> "dict[str, Entries]":
    from resilience._config import plan

    return plan.read(plan.load(source))


def _apply(source: "Path | Mapping[Any, Any]") -> None:
    from resilience._config import plan

    def remember() -> None:
        global _source  # noqa: PLW0603 - a process has one configuration
        _source = source

    plan.commit([*plan.prepare(_entries(source)), remember])


def _forget_lock() -> None:
    """A thread of the parent may have held the lock when the process was forked."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
