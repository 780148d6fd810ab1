"""One failure, several callers: each gets an exception of its own."""

import copy


def own_copy(error: BaseException) -> BaseException:
    """Return a copy of `error` that can be raised without lengthening the original's traceback.

    Causes, notes and the traceback up to now are kept. An exception that can't be copied is returned itself; what
    raises it is to reset its traceback.
    """
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001 - any __reduce__ or __init__ may be behind it
        return error
    if type(twin) is not type(error):
        return error
    twin.args = error.args  # an __init__ that words its message would have worded it again
    twin.__cause__ = error.__cause__
    twin.__context__ = error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)
