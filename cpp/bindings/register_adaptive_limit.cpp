#include <pybind11/stl.h>

#include <optional>

#include "bindings.hpp"
#include "policy_handles.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

LimitAlgorithm algorithm_named(const std::string& name) {
  return named<LimitAlgorithm>("algorithm", name,
                               {{"gradient2", LimitAlgorithm::kGradient2},
                                {"vegas", LimitAlgorithm::kVegas},
                                {"aimd", LimitAlgorithm::kAimd}});
}

LimitOutcome outcome_named(const std::string& name) {
  return named<LimitOutcome>("outcome", name,
                             {{"success", LimitOutcome::kSuccess},
                              {"ignored", LimitOutcome::kIgnored},
                              {"dropped", LimitOutcome::kDropped}});
}

py::list to_list(const std::vector<Ticket>& tickets) {
  py::list list;
  for (const Ticket& ticket : tickets) {
    list.append(to_python(ticket));
  }
  return list;
}

// (ticket or None, a waiter that had to go or None)
py::tuple enqueue(AdaptiveLimitHandle& self, std::int64_t priority) {
  std::optional<Ticket> shed;
  const auto ticket = self.machine.enqueue(priority, self.time.now(), shed);
  return py::make_tuple(to_python(ticket), to_python(shed));
}

// (served, shed)
py::tuple release(AdaptiveLimitHandle& self, double started, const std::string& outcome) {
  AdaptiveLimit::Woken woken;
  self.machine.release(nanos_from_seconds(started), self.time.now(), outcome_named(outcome), woken);
  return py::make_tuple(to_list(woken.served), to_list(woken.shed));
}

// (served, shed)
// What isn't given stays as it is, whatever another thread has just made of it.
py::tuple resize(AdaptiveLimitHandle& self, std::optional<std::int64_t> least,
                 std::optional<std::int64_t> most) {
  AdaptiveLimitConfig config;
  config.min = least.value_or(self.machine.min());
  config.max = most.value_or(self.machine.max());
  config.initial = config.min;
  if (const InvalidArgument problem = config.validate()) {
    throw py::value_error(problem.message());
  }
  AdaptiveLimit::Woken woken;
  self.machine.resize(config.min, config.max, self.time.now(), woken);
  return py::make_tuple(to_list(woken.served), to_list(woken.shed));
}

}  // namespace

void register_adaptive_limit(py::module_& module) {
  py::class_<AdaptiveLimitHandle, std::shared_ptr<AdaptiveLimitHandle>>(module, "AdaptiveLimit")
      .def(py::init([](std::int64_t initial, std::int64_t min, std::int64_t max, const std::string& algorithm,
                       std::int64_t max_waiting, double target_wait, double wait_interval, ClockPtr clock) {
             const AdaptiveLimitConfig config{
                 initial, min, max, algorithm_named(algorithm), max_waiting, target_wait, wait_interval};
             return std::make_shared<AdaptiveLimitHandle>(config, std::move(clock));
           }),
           py::kw_only(), py::arg("initial"), py::arg("least"), py::arg("most"), py::arg("algorithm"),
           py::arg("max_waiting"), py::arg("target_wait"), py::arg("wait_interval"), py::arg("clock"))
      .def("try_acquire", [](AdaptiveLimitHandle& self) { return self.machine.try_acquire(); })
      .def("enqueue", &enqueue)
      .def("release", &release)
      .def("resize", &resize, py::kw_only(), py::arg("least") = py::none(), py::arg("most") = py::none())
      .def_property_readonly("least", [](const AdaptiveLimitHandle& self) { return self.machine.min(); })
      .def_property_readonly("most", [](const AdaptiveLimitHandle& self) { return self.machine.max(); })
      .def("leave",
           [](AdaptiveLimitHandle& self, const std::pair<std::int64_t, std::uint64_t>& ticket) {
             return self.machine.leave(to_ticket(ticket), self.time.now());
           })
      .def_property_readonly("limit", [](const AdaptiveLimitHandle& self) { return self.machine.limit(); })
      .def_property_readonly("in_flight",
                             [](const AdaptiveLimitHandle& self) { return self.machine.in_flight(); })
      .def_property_readonly("waiting",
                             [](const AdaptiveLimitHandle& self) { return self.machine.waiting(); });
}

}  // namespace resilience::bindings
