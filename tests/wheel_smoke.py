"""Try an installed wheel, without the source in reach; for `./dev wheel` and each wheel that is published."""

import importlib.metadata
import pathlib
import sysconfig

import resilience

installed = pathlib.Path(resilience.__file__).resolve().parent
assert pathlib.Path(sysconfig.get_path("platlib")).resolve() in installed.parents, (
    f"imported from {installed}"
)
assert importlib.metadata.version("resilience-native") == resilience.__version__
assert (installed / "py.typed").is_file()
assert (installed / "_core.pyi").is_file()
assert (installed / "external" / "catalogue.yaml").is_file()
assert resilience.Clock.__module__ == "resilience._core"
missing = [name for name in resilience.__all__ if not hasattr(resilience, name)]
assert not missing, f"exported but absent: {missing}"
print(f"resilience {resilience.__version__} works from {installed}")  # noqa: T201
