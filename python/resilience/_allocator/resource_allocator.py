"""The allocator: it measures, forecasts, decides and applies."""

import asyncio
import inspect
import logging
import os
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from resilience import _core
from resilience._allocator import history_file
from resilience._allocator.binder import RESOURCES, Apply, Binder
from resilience._allocator.history import KeptHistory
from resilience._allocator.metrics import Metrics, MetricsSource, RequestSource, as_figures
from resilience._allocator.settings import sizes_of
from resilience._checks import clock_or_none, flag, number, text

_log = logging.getLogger("resilience.allocator")

_PROBLEMS_KEPT = 100
_CPU = ("cpu_cores", "memory_fraction")


class PredictiveResourceAllocator:
    """Sizes workers, connections and cache by what the load is about to be.

    Once an interval it takes what `metrics_source` counted and what the process and its children use of the
    machine (cgroup limits respected), forecasts the load `lead_time` ahead, and resizes what is bound. The
    sampling, the forecast and the decision run on a native thread. Workers follow the request rate,
    connections themselves, the cache the trend and the memory. Until two days have been seen it behaves like
    a reactive rule, and says so under `rule`; afterwards too, whenever that has lately been better.

    What one worker serves is learned from the CPU it takes; until that is known, 10 requests a minute.
    `similar_periods` is the documented simple predictor with its own rules: expected rpm above 100, 10
    workers; expected connections above 80 % of the present, 1.5 times the expected; increasing, 50 MB more
    cache; all at confidence >= 0.5.

    Args:
        interval: Seconds between samples, in [1, 3600].
        history_days: Days of samples kept, in [1, 28].
        limits: `max_workers`, `max_connections`, `max_cache_size_mb` and the same with `min_`.
        initial: `workers`, `connections`, `cache_size_mb`.
        forecaster: A kind of `Forecaster`.
        lead_time: Seconds ahead that are planned for, until start delays have been measured.
        shadow: Only forecast and record; resize nothing.
        metrics_source: Called once an interval: a `ResourceMetrics`, a mapping or an object with
            `rpm`, `connections`, `response_time`, `cpu_cores`, `memory_fraction`, or None for a gap; may be
            a coroutine function. A plain function runs in a thread.
        history_path: Where samples are kept across restarts.
        clock: Where time comes from; the system clock by default.

    Raises:
        ValueError: when an argument is out of range.
        TypeError: when an argument has the wrong type.
    """

    def __init__(
        self,
        *,
        interval: float = 60.0,
        history_days: float = 7,
        limits: Mapping[str, int] | None = None,
        initial: Mapping[str, int] | None = None,
        forecaster: str = "ensemble",
        lead_time: float = 900.0,
        shadow: bool = False,
        metrics_source: MetricsSource | None = None,
        history_path: str | os.PathLike[str] | None = None,
        clock: _core.Clock | None = None,
    ) -> None:
        first, least, most = sizes_of(initial, limits)
        if metrics_source is not None and not callable(metrics_source):
            raise TypeError(f"metrics_source must be callable, got {metrics_source!r}")
        if history_path is not None and not isinstance(history_path, (str, os.PathLike)):
            raise TypeError(f"history_path must be a path or None, got {history_path!r}")
        self._interval = number("interval", interval)
        self._native = _core.NativeAllocator(
            interval=self._interval,
            history_days=number("history_days", history_days),
            lead_time=number("lead_time", lead_time),
            forecaster=text("forecaster", forecaster),
            initial=first,
            least=least,
            limits=most,
            clock=clock_or_none(clock),
        )
        self._limits = {f"max_{name}": size for name, size in zip(RESOURCES, most, strict=True)}
        self.shadow = flag("shadow", shadow)
        self.metrics_source = metrics_source
        self._clock = clock if clock is not None else _core.SystemClock()
        self._binder = Binder(self._native, self._report)
        path = Path(history_path) if history_path is not None else None
        self._history = KeptHistory(self._native, self._interval, path, self._report)
        self._monitor: _core.AllocatorMonitor | None = None
        self._turns = asyncio.Lock()  # of starting and stopping
        self._sampling: asyncio.Task[None] | None = None
        self._system: dict[str, Any] = {}
        self._problems: deque[dict[str, Any]] = deque(maxlen=_PROBLEMS_KEPT)

    # ---- what it is told ----

    def observe(self, metrics: Metrics | None) -> None:
        """Take the next interval's metrics and act on them. None is a gap.

        Args:
            metrics: As from `metrics_source`, with an optional `timestamp` (UNIX seconds). Intervals between
                it and the last one are gaps.

        Raises:
            ValueError: when a figure is negative or not finite.
            TypeError: when a figure is no number, or there is none at all.
        """
        self._take(self._native.observe(**as_figures(metrics)))

    def bind(self, resource: str, apply: Apply) -> Callable[[], None]:
        """Have `apply(size)` called with each new size of a resource.

        Args:
            resource: `workers`, `connections` or `cache_size_mb`.
            apply: Resizes something real and returns the size it has then, or None for the one asked for;
                may return an awaitable, whose time to grow is learned as the start delay. When it raises, the
                error is reported and the resource keeps its size.

        Returns:
            What ends the binding.

        Raises:
            ValueError: on an unknown resource.
            TypeError: when `apply` isn't callable.
        """
        return self._binder.bind(resource, apply)

    def record_start(self, resource: str, seconds: float) -> None:
        """Tell how long a unit took from being asked for to serving; the longest of the last ones is planned for.

        Args:
            resource: ``"workers"``, ``"connections"`` or ``"cache_size_mb"``.
            seconds: >= 0.

        Raises:
            ValueError: on an unknown resource, or a time that is negative or not finite.
        """
        self._native.started(resource, seconds)

    def preload(self, samples: Iterable[Metrics]) -> None:
        """Learn from samples measured elsewhere, oldest first, without acting on them.

        Args:
            samples: As for `observe`, each with a `timestamp`. Intervals missing between them are gaps.

        A history kept in `history_path` is not read any more.

        Raises:
            RuntimeError: when something has been observed already.
            ValueError: when a sample has no timestamp, or one before its predecessor's.
            TypeError: when a figure is no number.
        """
        if self._native.predictions()["history_size"] or self._is_running():
            raise RuntimeError("the past comes first: preload before anything is observed")
        self._history.take_as_known()
        self._native.restore(history_file.rows(as_figures(sample) for sample in samples))

    # ---- monitoring ----

    async def start_monitoring(self) -> None:
        """Take up the kept history and begin to sample, at once; does nothing when it is running already."""
        async with self._turns:
            if self._is_running():
                return
            await self._history.take_up()
            self._begin()

    def _begin(self) -> None:
        me = weakref.ref(self)  # the monitor must not keep its allocator alive

        def on_tick(system: dict[str, Any]) -> None:
            if (alive := me()) is not None:
                alive._on_tick(system)  # noqa: SLF001 - itself

        def on_step(step: dict[str, Any]) -> None:
            if (alive := me()) is not None:
                alive._on_step(step)  # noqa: SLF001 - itself

        self._monitor = _core.AllocatorMonitor(asyncio.get_running_loop(), self._native, on_tick, on_step)

    async def stop_monitoring(self) -> None:
        """Stop sampling, finish what is being applied, and save the history."""
        async with self._turns:
            await self._end()

    async def _end(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.stop()
        sampling, self._sampling = self._sampling, None
        if sampling is not None:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        await self._history.finish()
        await self._binder.finish()
        if monitor is not None:
            await self._history.save()

    def _is_running(self) -> bool:
        return self._monitor is not None and self._monitor.running

    def _on_tick(self, system: dict[str, Any]) -> None:
        self._system = system
        source = self.metrics_source
        if source is None:
            self._submit(None)
        elif isinstance(getattr(source, "__self__", None), RequestSource):
            self._read(source)
        elif self._sampling is not None and not self._sampling.done():
            self._report("source_slow", "metrics_source has not answered since the last interval")
        else:
            self._sampling = asyncio.get_running_loop().create_task(self._ask(source))

    def _read(self, source: MetricsSource) -> None:
        try:
            metrics = source()
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the monitoring
            self._source_failed(error)
        else:
            self._submit(metrics)

    async def _ask(self, source: MetricsSource) -> None:
        try:
            if inspect.iscoroutinefunction(source):
                metrics = await source()
            else:
                metrics = await asyncio.to_thread(source)
                if inspect.isawaitable(metrics):
                    metrics = await _awaited(metrics)
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the monitoring
            self._source_failed(error)
        else:
            self._submit(metrics)

    def _source_failed(self, error: Exception) -> None:
        _log.error("metrics_source failed", exc_info=error)
        self._report("source_failed", f"metrics_source failed: {error!r}")
        self._submit(None)

    def _submit(self, metrics: Metrics | None) -> None:
        monitor = self._monitor
        if monitor is None:
            return
        try:
            figures = as_figures(metrics)
            figures.pop("timestamp")
            for name in _CPU:
                if figures[name] is None:
                    figures[name] = self._system.get(name)
            monitor.submit(**figures)
        except (TypeError, ValueError) as error:
            self._report("metrics_refused", str(error))

    def _on_step(self, step: dict[str, Any]) -> None:
        if step["set_back"]:
            self._report("clock_set_back", "the wall clock was set back; the series goes on without a break")
        if step["steps"] > 1:
            self._report("gap", f"{step['steps'] - 1} intervals were missed")
        self._take(step)
        self._history.save_now_and_then()

    def _take(self, step: dict[str, Any]) -> None:
        for proposal in step["proposals"]:
            if self.shadow:
                self._native.settle(proposal["id"], "shadow", proposal["from"])
            else:
                self._binder.carry_out(proposal)

    # ---- what it tells ----

    def _report(self, kind: str, detail: str) -> None:
        self._problems.append({"time": self._clock.time(), "kind": kind, "detail": detail})

    def get_predictions(self) -> dict[str, Any]:
        """Return forecasts, sizes and state, ready for JSON.

        `predictions` are of the moment `lead_time` ahead: connections, requests a minute, seconds.
        `optimization_status` is `active` while monitoring runs. Beside the documented keys stand `rule` (what
        decides), `last_sample_time` (UNIX seconds), `last_sample_age` (seconds), `system` and `problems`.
        """
        seen = self._native.predictions()
        latest = seen["latest"]
        keys = (
            "expected_connections",
            "expected_rpm",
            "expected_rpm_p90",
            "expected_response_time",
            "confidence",
        )
        return {
            "predictions": {**{key: seen[key] for key in keys}, "trend": seen["trend"]},
            "current_allocations": seen["current"],
            "resource_limits": dict(self._limits),
            "history_size": seen["history_size"],
            "optimization_status": "active" if self._is_running() else "inactive",
            "rule": seen["rule"],
            "shadow": self.shadow,
            "rpm_per_worker": seen["rpm_per_worker"],
            "start_delay": {
                "workers": seen["workers_start_delay"],
                "connections": seen["connections_start_delay"],
            },
            "last_sample_time": latest,
            "last_sample_age": None if latest is None else max(0.0, self._clock.time() - latest),
            "system": dict(self._system),
            "problems": list(self._problems),
        }

    def audit(self) -> list[dict[str, Any]]:
        """Return the last 1,024 decisions, oldest first, each with its inputs, forecast, rule and outcome."""
        return self._native.audit()

    def backtest(self) -> dict[str, Any]:
        """Replay the history and compare provisioning by forecast, by the reactive rule, and for the peak.

        Scored are the steps after the first two days. Each of `predictive`, `reactive` and `static` has
        `cold_unit_steps` (units that were needed and did not serve yet), `cold_steps`, `unit_hours` and
        `wasted_unit_hours`. Takes about 10 us a step, without the GIL; call it in a thread from an event loop.
        """
        return self._native.backtest()


async def _awaited(value: Awaitable[Metrics | None]) -> Metrics | None:
    return await value
