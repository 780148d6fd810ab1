#include <pybind11/stl.h>

#include <optional>

#include "bindings.hpp"
#include "policy_handles.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// What isn't given stays as it is, whatever another thread has just made of it.
py::list resize(Bulkhead& self, std::optional<std::int64_t> max_concurrent,
                std::optional<std::int64_t> max_waiting) {
  const BulkheadConfig limits{max_concurrent.value_or(self.max_concurrent()),
                              max_waiting.value_or(self.max_waiting())};
  py::list served;
  for (const Ticket& ticket : self.resize(checked(limits))) {
    served.append(to_python(ticket));
  }
  return served;
}

}  // namespace

void register_bulkhead(py::module_& module) {
  py::class_<Bulkhead, std::shared_ptr<Bulkhead>>(module, "Bulkhead")
      .def(py::init([](std::int64_t max_concurrent, std::int64_t max_waiting) {
             return std::make_shared<Bulkhead>(checked(BulkheadConfig{max_concurrent, max_waiting}));
           }),
           py::kw_only(), py::arg("max_concurrent"), py::arg("max_waiting"))
      .def("try_acquire", &Bulkhead::try_acquire)
      .def("enqueue", [](Bulkhead& self, std::int64_t priority) { return to_python(self.enqueue(priority)); })
      .def("release", [](Bulkhead& self) { return to_python(self.release()); })
      .def("leave", [](Bulkhead& self,
                       const std::pair<std::int64_t, std::uint64_t>& t) { return self.leave(to_ticket(t)); })
      .def("resize", &resize, py::kw_only(), py::arg("max_concurrent") = py::none(),
           py::arg("max_waiting") = py::none())
      .def_property_readonly("in_flight", &Bulkhead::in_flight)
      .def_property_readonly("waiting", &Bulkhead::waiting)
      .def_property_readonly("max_concurrent", &Bulkhead::max_concurrent)
      .def_property_readonly("max_waiting", &Bulkhead::max_waiting);
}

}  // namespace resilience::bindings
