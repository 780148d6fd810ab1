"""Importing what only some services install."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        ImportError: naming the extra of this package that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise  # it is there, but broken
        raise ImportError(
            f"{module} isn't installed: pip install 'resilience-native[{extra}]'", name=module
        ) from error
