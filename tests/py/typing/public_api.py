"""What type checkers must see in the public API: mypy and pyright read this file, nothing runs it."""

from typing import assert_type

import resilience


def a_clock_tells_seconds(clock: resilience.Clock) -> None:
    assert_type(clock.now(), float)
    assert_type(clock.time(), float)
