#include <pybind11/stl.h>

#include "bindings.hpp"
#include "policy_handles.hpp"

namespace py = pybind11;

namespace resilience::bindings {

void register_hedge(py::module_& module) {
  py::class_<Hedge, std::shared_ptr<Hedge>>(module, "Hedge")
      .def(py::init([](double delay, double quantile, std::int64_t max_hedges) {
             return std::make_shared<Hedge>(checked(HedgeConfig{delay, quantile, max_hedges}));
           }),
           py::kw_only(), py::arg("delay"), py::arg("quantile"), py::arg("max_hedges"))
      .def("record", [](Hedge& self, double latency) { self.record(nanos_from_seconds(latency)); })
      .def(
          "delay",
          [](Hedge& self, std::int64_t sent) -> std::optional<double> {
            const auto delay = self.delay(sent);
            return delay ? std::optional(seconds_from_nanos(*delay)) : std::nullopt;
          },
          "Seconds to wait before the next request when so many are out; None: send no more.");
}

}  // namespace resilience::bindings
