"""Pipelines by name: made on first use, filled and refilled by the configuration."""

from collections.abc import Callable, Mapping
from typing import Any

from resilience._bulkhead import Bulkhead
from resilience._fork import fork_safe_lock
from resilience._pipeline import Pipeline
from resilience._rate_limit import RateLimit

Settings = Any  # of one policy: a mapping as its constructor takes it, or its one setting
Layout = Mapping[str, Settings]  # policies of a pipeline by their place in it

_lock = fork_safe_lock()
_pipelines: dict[str, Pipeline] = {}
_layouts: dict[str, Layout] = {}  # what each pipeline was last made of


def _nothing(_name: str) -> Layout:
    return {}


def _no_build(_name: str, _place: str, _settings: Settings) -> Any:
    raise AssertionError("nothing has been configured, so there is nothing to build")


_configured: Callable[[str], Layout] = _nothing
_build: Callable[[str, str, Settings], Any] = _no_build


def get_pipeline(name: str) -> Pipeline:
    """The pipeline of that name, the same object each time.

    `configure` says what is in it; without a word about it there, it lets every call through. `reload` changes it in
    place: calls under way end under the policies with which they started, and policies whose settings did not
    change keep their state.

    Args:
        name: as in the section ``pipelines`` of the configuration.

    Raises:
        TypeError: if `name` is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    with _lock:
        pipeline = _pipelines.get(name)
        if pipeline is None:
            pipeline = _pipelines[name] = Pipeline(name=name)
            _fill(name, pipeline, _configured(name))
        return pipeline


def prepare(
    layouts: Callable[[str], Layout],
    build: Callable[[str, str, Settings], Any],
    refused: Callable[[str, TypeError], Exception],
) -> Callable[[], None]:
    """Check what `layouts` says about the pipelines there are; the function returned puts it into effect.

    Args:
        layouts: the policies of a pipeline, by its name.
        build: makes the policy for a place in a pipeline.
        refused: the error to raise for a pipeline whose functions can't be under its new policies.
    """
    with _lock:
        for name, pipeline in _pipelines.items():
            _check(name, pipeline, layouts(name), build, refused)

    def commit() -> None:
        global _configured, _build  # a process has one configuration
        with _lock:
            _configured, _build = layouts, build
            for name, pipeline in _pipelines.items():
                _fill(name, pipeline, layouts(name))

    return commit


def _check(
    name: str,
    pipeline: Pipeline,
    layout: Layout,
    build: Callable[[str, str, Settings], Any],
    refused: Callable[[str, TypeError], Exception],
) -> None:
    gone = {place: None for place in _layouts.get(name, {}) if place not in layout}
    come = {  # a breaker would stay in the registry, and goes with every function
        place: build(name, place, settings)
        for place, settings in layout.items()
        if place != "circuit_breaker"
    }
    try:
        pipeline.check(**gone, **come)
    except TypeError as error:
        raise refused(name, error) from None


def _fill(name: str, pipeline: Pipeline, layout: Layout) -> None:
    """Give a pipeline its policies, all at once; REQUIRES the lock and a layout that was checked."""
    old = _layouts.get(name, {})
    changes: dict[str, Any] = {place: None for place in old if place not in layout}
    for place, settings in layout.items():
        if old.get(place) != settings and not _adjust(getattr(pipeline._members, place), settings):  # noqa: SLF001
            changes[place] = _build(name, place, settings)
    _layouts[name] = layout
    if changes:
        pipeline.replace(**changes)


def _adjust(policy: Any, settings: Settings) -> bool:
    """Change a policy in place, keeping who is inside and waits; false when it has to be made anew."""
    if not isinstance(settings, Mapping):
        return False
    given = dict(settings)
    if isinstance(policy, Bulkhead) and "max_wait" not in given:
        policy.resize(given.pop("max_concurrent"), max_waiting=given.pop("max_waiting", 0))
        return not given
    if isinstance(policy, RateLimit) and "max_wait" not in given:
        policy.reconfigure(given.pop("rate"), given.pop("per", 1.0), burst=given.pop("burst", None))
        return not given
    return False
