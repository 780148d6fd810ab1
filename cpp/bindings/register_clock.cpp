#include <pybind11/functional.h>

#include <cmath>
#include <string>

#include "bindings.hpp"
#include "resilience/clock.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

Nanos checked_duration(double seconds) {
  if (!(seconds >= 0.0) || std::isinf(seconds)) {
    throw py::value_error("seconds must be a finite number >= 0, got " + std::to_string(seconds));
  }
  return nanos_from_seconds(seconds);
}

}  // namespace

void register_clock(py::module_& module) {
  py::class_<Clock, std::shared_ptr<Clock>>(module, "Clock", "Where a policy takes its time from.")
      .def(
          "now", [](const Clock& clock) { return seconds_from_nanos(clock.now()); }, "Monotonic seconds.")
      .def("time", &Clock::unix_time, "Seconds since the UNIX epoch.");
  py::class_<SystemClock, Clock, std::shared_ptr<SystemClock>>(module, "SystemClock",
                                                               "The operating system's clocks.")
      .def(py::init([] { return SystemClock::instance(); }));
  py::class_<ManualClock, Clock, std::shared_ptr<ManualClock>>(
      module, "ManualClock",
      "A clock that moves only when told to, for tests.\n\n"
      "Args:\n    start: the first value of now() and of time(), in seconds.")
      .def(
          py::init([](double start) {
            if (!std::isfinite(start)) {
              throw py::value_error("start must be a finite number of seconds, got " + std::to_string(start));
            }
            return std::make_shared<ManualClock>(nanos_from_seconds(start), start);
          }),
          py::arg("start") = 0.0)
      .def(
          "advance", [](ManualClock& clock, double seconds) { clock.advance(checked_duration(seconds)); },
          py::arg("seconds"),
          "Move time forward by `seconds` (>= 0), running each timer at its own deadline on the way.")
      .def(
          "call_later",
          [](ManualClock& clock, double seconds, py::function callback) {
            return clock.schedule(saturating_add(clock.now(), checked_duration(seconds)),
                                  [callback = std::move(callback)] { callback(); });
          },
          py::arg("seconds"), py::arg("callback"),
          "Call `callback()` from advance() once `seconds` (>= 0) have passed; returns the timer's id.")
      .def("cancel", &ManualClock::cancel, py::arg("timer"),
           "Cancel a timer by its id; false when it has already run.");
}

}  // namespace resilience::bindings
