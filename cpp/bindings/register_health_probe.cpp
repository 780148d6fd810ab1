#include <pybind11/functional.h>

#include <memory>
#include <optional>

#include "bindings.hpp"
#include "loop_bridge.hpp"
#include "resilience/health_probe.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// Probes from the engine and brings each result to a loop, where `on_result(healthy, seconds)` runs.
class HealthProber {
 public:
  HealthProber(const py::handle& loop, const std::string& url, double interval, double timeout,
               py::function on_result) {
    auto target = ProbeTarget::parse(url);
    if (!target) {
      throw py::value_error("url must be tcp://host:port or http://host[:port][/path], got '" + url + "'");
    }
    bridge_ = LoopBridge::of(loop.ptr());
    if (!bridge_) {
      throw py::error_already_set();
    }
    const auto tell = [call = std::make_shared<py::function>(std::move(on_result))](std::int64_t value) {
      const bool healthy = value >= 0;
      PyObject* latency = PyFloat_FromDouble(seconds_from_nanos(healthy ? value : -value));
      PyObject* answer =
          latency == nullptr
              ? nullptr
              : PyObject_CallFunctionObjArgs(call->ptr(), healthy ? Py_True : Py_False, latency, nullptr);
      Py_XDECREF(latency);
      Py_XDECREF(answer);
      return answer != nullptr;
    };
    handler_ = bridge_->attach(tell, [this] { stop(); });
    const auto report = [queue = bridge_->queue(), handler = handler_](ProbeResult result) {
      queue->push({handler, result.healthy ? result.latency : -result.latency - 1});
    };
    probe_.emplace(Engine::instance(), std::move(*target), nanos_from_seconds(interval),
                   nanos_from_seconds(timeout), report);
  }
  HealthProber(const HealthProber&) = delete;
  HealthProber& operator=(const HealthProber&) = delete;
  ~HealthProber() { stop(); }

  void stop() {
    probe_.reset();
    if (const auto bridge = std::exchange(bridge_, nullptr)) {
      bridge->detach(handler_);
    }
  }

 private:
  std::shared_ptr<LoopBridge> bridge_;
  std::uint64_t handler_ = 0;
  std::optional<HealthProbe> probe_;
};

}  // namespace

void register_health_probe(py::module_& module) {
  module.def(
      "is_probe_url", [](const std::string& url) { return ProbeTarget::parse(url).has_value(); },
      py::arg("url"), "Whether a HealthProber understands `url`.");
  py::class_<HealthProber>(module, "HealthProber",
                           "Probes a host from the native thread, for one event loop.")
      .def(py::init<py::handle, const std::string&, double, double, py::function>(), py::arg("loop"),
           py::arg("url"), py::arg("interval"), py::arg("timeout"), py::arg("on_result"))
      .def("stop", &HealthProber::stop, "Begin no further attempt, and tell no further result.");
}

}  // namespace resilience::bindings
