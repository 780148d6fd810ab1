// The engine's life with the interpreter, and the loop-lag gauge, the simplest thing that lives on both.
#include <pybind11/stl.h>

#include <memory>
#include <optional>

#include "bindings.hpp"
#include "loop_bridge.hpp"
#include "resilience/engine.hpp"
#include "resilience/loop_lag.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

void shut_down() {
  LoopBridge::end_all();
  const py::gil_scoped_release release;  // a task on the engine never needs the GIL, but joining takes time
  Engine::instance().shut_down();
}

py::dict engine_stats() {
  const Engine& engine = Engine::instance();
  py::dict stats;
  stats["running"] = engine.running();
  stats["timers"] = engine.pending_timers();
  stats["failed_tasks"] = engine.failed_tasks();
  return stats;
}

double milliseconds(Nanos nanos) { return static_cast<double>(nanos) / static_cast<double>(kNanosPerMilli); }

// Pings one loop from the engine. What the engine's thread sees of it is native and shared.
class LoopLagGauge {
 public:
  LoopLagGauge(const py::handle& loop, double interval, std::optional<std::shared_ptr<Clock>> clock)
      : clock_(std::move(clock).value_or(SystemClock::instance())), lag_(std::make_shared<LoopLag>()) {
    if (!(interval > 0.0)) {
      throw py::value_error("interval must be a number of seconds > 0, got " +
                            py::repr(py::float_(interval)).cast<std::string>());
    }
    bridge_ = LoopBridge::of(loop.ptr());
    if (!bridge_) {
      throw py::error_already_set();
    }
    const auto answer = [lag = lag_, time = clock_](std::int64_t) {
      lag->pong(time->now());
      return true;
    };
    handler_ = bridge_->attach(answer, [this] { stop(); });
    const auto ping = [lag = lag_, time = clock_, queue = bridge_->queue(), handler = handler_] {
      if (lag->ping(time->now())) {
        queue->push({handler, 0});
      }
    };
    periodic_.emplace(Engine::instance(), clock_, nanos_from_seconds(interval), ping);
  }
  LoopLagGauge(const LoopLagGauge&) = delete;
  LoopLagGauge& operator=(const LoopLagGauge&) = delete;
  ~LoopLagGauge() { stop(); }

  void stop() {
    periodic_.reset();
    if (bridge_) {
      bridge_->detach(handler_);
      bridge_.reset();
    }
  }

  [[nodiscard]] double current() const { return seconds_from_nanos(lag_->current(clock_->now())); }

  [[nodiscard]] py::dict stats() const {
    const auto seen = lag_->snapshot(clock_->now());
    py::dict stats;
    stats["running"] = periodic_.has_value();
    stats["current_ms"] = milliseconds(seen.current);
    stats["p50_ms"] = milliseconds(seen.p50);
    stats["p99_ms"] = milliseconds(seen.p99);
    stats["max_ms"] = milliseconds(seen.max);
    stats["samples"] = seen.samples;
    return stats;
  }

 private:
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<LoopLag> lag_;
  std::shared_ptr<LoopBridge> bridge_;
  std::uint64_t handler_ = 0;
  std::optional<Periodic> periodic_;
};

}  // namespace

void register_engine(py::module_& module) {
  module.def("engine_stats", engine_stats,
             "Whether the native thread runs, its pending timers, and how many of its tasks failed.");
  py::module_::import("atexit").attr("register")(py::cpp_function(shut_down));
  if (const py::module_ os = py::module_::import("os"); py::hasattr(os, "register_at_fork")) {
    os.attr("register_at_fork")(py::arg("after_in_child") = py::cpp_function(LoopBridge::end_all));
  }
  py::class_<LoopLagGauge>(module, "LoopLagGauge", "Measures how late one event loop runs what is due.")
      .def(py::init<py::handle, double, std::optional<std::shared_ptr<Clock>>>(), py::arg("loop"),
           py::arg("interval"), py::arg("clock") = py::none())
      .def("stop", &LoopLagGauge::stop, "Send no further pings.")
      .def("current", &LoopLagGauge::current,
           "The lag now, in seconds: a small part of the price of stats().")
      .def("stats", &LoopLagGauge::stats, "Figures in milliseconds, ready for JSON.");
}

}  // namespace resilience::bindings
