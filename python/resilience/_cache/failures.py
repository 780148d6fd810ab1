"""Errors that several callers see: each raises one of its own."""

from typing import Final

from resilience._shared_errors import own_copy


def own_error(error: BaseException) -> BaseException:
    """Return a copy of `error` for one more caller, without the frames that it has come through."""
    return own_copy(error).with_traceback(None)


class CachedFailure:
    """What a cache holds for a load that failed, when failures are remembered."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: Final = own_error(error)  # without the frames that the original keeps alive

    def error(self) -> BaseException:
        """Return the error, a new object for each caller."""
        return own_error(self._error)
