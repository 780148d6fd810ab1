"""The sizes an allocator starts from and stays within."""

from collections.abc import Mapping

from resilience._allocator.binder import RESOURCES

INITIAL = {"workers": 5, "connections": 20, "cache_size_mb": 100}
LIMITS = {"max_workers": 20, "max_connections": 100, "max_cache_size_mb": 500}
LEAST = {"min_workers": 1, "min_connections": 5, "min_cache_size_mb": 25}

Sizes = tuple[int, int, int]


def _merged(defaults: Mapping[str, int], given: Mapping[str, int], argument: str) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument} must be a mapping of sizes or None, got {given!r}")
    for key, value in given.items():
        if key not in defaults:
            raise ValueError(f"{argument} must have keys of {', '.join(defaults)}, got {key!r}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{argument}[{key!r}] must be a whole number, got {value!r}")
    return {**defaults, **given}


def sizes_of(
    initial: Mapping[str, int] | None, limits: Mapping[str, int] | None
) -> tuple[Sizes, Sizes, Sizes]:
    """Return initial, least and largest sizes in the order of `RESOURCES`.

    A least size that isn't given follows the initial one down.

    Raises:
        ValueError: on an unknown key.
        TypeError: on a size that is no whole number.
    """
    given = {} if limits is None else limits
    chosen_limits = _merged({**LIMITS, **LEAST}, given, "limits")
    default_initial = {name: min(INITIAL[name], chosen_limits[f"max_{name}"]) for name in RESOURCES}
    chosen = _merged(default_initial, {} if initial is None else initial, "initial")
    least = {
        name: chosen_limits[f"min_{name}"]
        if f"min_{name}" in given
        else max(0, min(chosen_limits[f"min_{name}"], chosen[name]))
        for name in RESOURCES
    }
    return (
        _in_order({name: chosen[name] for name in RESOURCES}),
        _in_order(least),
        _in_order({name: chosen_limits[f"max_{name}"] for name in RESOURCES}),
    )


def _in_order(named: Mapping[str, int]) -> Sizes:
    workers, connections, cache = (named[name] for name in RESOURCES)
    return workers, connections, cache
