// The allocator's pulse: the engine reads the system at each tick and tells the loop, the loop adds what it
// has counted, the engine forecasts and decides, the loop applies. Nothing is measured or computed on it.
#include <pybind11/stl.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "allocator_handle.hpp"
#include "bindings.hpp"
#include "forecast_handles.hpp"
#include "loop_bridge.hpp"
#include "resilience/engine.hpp"
#include "resilience/system_probe.hpp"
#include "system_reading.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// What the loop is told of.
constexpr std::int64_t kTicked = 0;
constexpr std::int64_t kDecided = 1;

// What crosses between the engine's thread and the loop.
struct Pulse {
  std::mutex mutex;
  SystemProbe probe;  // guarded by mutex, as all below
  SystemReading reading;
  std::deque<Step> steps;
};

class AllocatorMonitor {
 public:
  AllocatorMonitor(const py::handle& loop, const AllocatorHandle& allocator, py::function on_tick,
                   py::function on_step)
      : state_(allocator.state),
        pulse_(std::make_shared<Pulse>()),
        on_tick_(std::move(on_tick)),
        on_step_(std::move(on_step)) {
    bridge_ = LoopBridge::of(loop.ptr());
    if (!bridge_) {
      throw py::error_already_set();
    }
    queue_ = bridge_->queue();
    handler_ = bridge_->attach([this](std::int64_t what) { return deliver(what); }, [this] { stop(); });
    const auto tick = [pulse = pulse_, clock = state_->clock, queue = queue_, handler = handler_] {
      {
        const std::lock_guard<std::mutex> lock(pulse->mutex);
        pulse->reading = pulse->probe.read(clock->now());
      }
      queue->push({handler, kTicked});
    };
    const Nanos interval = nanos_from_seconds(state_->machine.config().interval);
    periodic_.emplace(Engine::instance(), state_->clock, interval, tick);
    Engine::instance().post(tick);  // nobody waits an interval for the first sample
  }
  AllocatorMonitor(const AllocatorMonitor&) = delete;
  AllocatorMonitor& operator=(const AllocatorMonitor&) = delete;
  ~AllocatorMonitor() { stop(); }

  // Has the engine take a sample; the step arrives at on_step. A sample within a step already seen is
  // dropped.
  void submit(Measured rpm, Measured connections, Measured response_time, Measured cpu_cores,
              Measured memory_fraction) {
    const LoadSample sample = to_sample(rpm, connections, response_time, cpu_cores, memory_fraction);
    const auto decide = [state = state_, pulse = pulse_, queue = queue_, handler = handler_, sample] {
      Step step = state->observe(sample, std::nullopt, false);
      {
        const std::lock_guard<std::mutex> lock(pulse->mutex);
        pulse->steps.push_back(std::move(step));
      }
      queue->push({handler, kDecided});
    };
    Engine::instance().post(decide);
  }

  void stop() {
    periodic_.reset();
    if (bridge_) {
      bridge_->detach(handler_);
      bridge_.reset();
    }
  }
  [[nodiscard]] bool running() const noexcept { return bridge_ != nullptr; }

 private:
  bool deliver(std::int64_t what) {
    try {
      if (what == kTicked) {
        on_tick_(to_dict(unlocked(pulse_->mutex, [this] { return pulse_->reading; })));
      } else if (const auto step = next_step()) {
        on_step_(to_dict(*step));
      }
      return true;
    } catch (py::error_already_set& error) {
      error.restore();
      return false;
    }
  }

  std::optional<Step> next_step() {
    return unlocked(pulse_->mutex, [this]() -> std::optional<Step> {
      if (pulse_->steps.empty()) {
        return std::nullopt;
      }
      Step step = std::move(pulse_->steps.front());
      pulse_->steps.pop_front();
      return step;
    });
  }

  std::shared_ptr<AllocatorState> state_;
  std::shared_ptr<Pulse> pulse_;
  py::function on_tick_;
  py::function on_step_;
  std::shared_ptr<LoopBridge> bridge_;
  std::shared_ptr<CompletionQueue> queue_;
  std::uint64_t handler_ = 0;
  std::optional<Periodic> periodic_;
};

}  // namespace

void register_allocator_monitor(py::module_& module) {
  py::class_<AllocatorMonitor>(module, "AllocatorMonitor")
      .def(py::init<py::handle, const AllocatorHandle&, py::function, py::function>(), py::arg("loop"),
           py::arg("allocator"), py::arg("on_tick"), py::arg("on_step"))
      .def("submit", &AllocatorMonitor::submit, py::kw_only(), py::arg("rpm") = py::none(),
           py::arg("connections") = py::none(), py::arg("response_time") = py::none(),
           py::arg("cpu_cores") = py::none(), py::arg("memory_fraction") = py::none())
      .def("stop", &AllocatorMonitor::stop)
      .def_property_readonly("running", &AllocatorMonitor::running);
}

}  // namespace resilience::bindings
