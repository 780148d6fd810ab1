"""What type checkers must see in the public API: mypy and pyright read this file, nothing runs it."""

from pathlib import Path
from typing import assert_type

import resilience


def a_clock_tells_seconds(clock: resilience.Clock) -> None:
    assert_type(clock.now(), float)
    assert_type(clock.time(), float)


def configuration_comes_from_a_path_or_a_mapping() -> None:
    assert_type(resilience.configure("settings.toml"), None)
    assert_type(resilience.configure(Path("settings.yaml")), None)
    assert_type(resilience.configure({"circuit_breakers": {"a": {"failure_threshold": 3}}}), None)
    assert_type(resilience.reload(), None)


def a_configuration_error_says_where(error: resilience.ConfigError) -> None:
    assert_type(error.key, str)
    assert_type(error.line, int | None)
    assert_type(error.reason, str)
