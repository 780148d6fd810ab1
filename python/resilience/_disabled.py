"""Calls as if there were no policies, for tests."""

import contextlib
from collections.abc import Iterator

from resilience import _core


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Call functions as if no policy and no cache stood before them, to test what is inside.

    ``with disabled(): ...`` holds for the whole process, all its threads and tasks, and nests. Inside, a decorated
    function is the function itself, ``policy.call`` calls what it is given, and a ``with`` block of a breaker is
    always entered and counts for nothing. Calls made before the block end as they began. Batching goes on, since a
    batched function takes other arguments than the one it decorates.
    """
    _core.bypass(on=True)
    try:
        yield
    finally:
        _core.bypass(on=False)
