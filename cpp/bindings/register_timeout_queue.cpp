#include "bindings.hpp"
#include "policy_handles.hpp"
#include "timeout_queue.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// One timeout as Python code on a slow path uses it: armed when made, finish()ed when the call is over.
class TimeoutScope {
 public:
  explicit TimeoutScope(std::shared_ptr<TimeoutQueue> queue) : queue_(std::move(queue)) {
    if (!queue_->arm(entry_)) {
      throw py::error_already_set();
    }
  }
  TimeoutScope(const TimeoutScope&) = delete;
  TimeoutScope& operator=(const TimeoutScope&) = delete;
  ~TimeoutScope() { TimeoutQueue::finish(entry_); }

  bool finish() { return TimeoutQueue::finish(entry_); }

 private:
  std::shared_ptr<TimeoutQueue> queue_;
  TimeoutEntry entry_;
};

}  // namespace

void register_timeout_queue(py::module_& module) {
  py::class_<TimeoutScope>(module, "TimeoutScope")
      .def("finish", &TimeoutScope::finish,
           "Ends the timeout. True when a CancelledError from the call is this timeout's.");
  py::class_<TimeoutQueue, std::shared_ptr<TimeoutQueue>>(module, "TimeoutQueue")
      .def(py::init([](double seconds, ClockPtr clock) {
             return std::make_shared<TimeoutQueue>(TimeSource(std::move(clock)), nanos_from_seconds(seconds));
           }),
           py::arg("seconds"), py::arg("clock"))
      .def(
          "arm",
          [](const std::shared_ptr<TimeoutQueue>& self) { return std::make_unique<TimeoutScope>(self); },
          "Times the running task out after so many seconds.");
}

}  // namespace resilience::bindings
