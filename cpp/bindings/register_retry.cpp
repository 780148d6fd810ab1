#include <pybind11/stl.h>

#include "bindings.hpp"
#include "policy_handles.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

Jitter jitter_named(const std::string& name) {
  return named<Jitter>("jitter", name,
                       {{"full", Jitter::kFull},
                        {"equal", Jitter::kEqual},
                        {"decorrelated", Jitter::kDecorrelated},
                        {"none", Jitter::kNone}});
}

// What Python is told when a call is not retried: the public names of the reasons.
const char* reason(RetryVerdict verdict) {
  switch (verdict) {
    case RetryVerdict::kAttemptsSpent:
      return "attempts";
    case RetryVerdict::kBudgetSpent:
      return "budget";
    case RetryVerdict::kPastDeadline:
    case RetryVerdict::kRetry:
      break;
  }
  return "deadline";
}

// The wait in seconds, or why there is none.
py::object after_failure(RetryHandle& self, RetryState& state, double retry_after,
                         std::optional<double> remaining) {
  const Nanos now = self.time.now();
  const Nanos deadline = remaining ? saturating_add(now, nanos_from_seconds(*remaining)) : kForever;
  RetryBudget* budget = self.budget ? &self.budget->machine : nullptr;
  const auto decision =
      self.machine.after_failure(state, now, nanos_from_seconds(retry_after), deadline, budget);
  if (decision.verdict == RetryVerdict::kRetry) {
    return py::float_(seconds_from_nanos(decision.wait));
  }
  return py::str(reason(decision.verdict));
}

}  // namespace

void register_retry(py::module_& module) {
  py::class_<RetryBudgetHandle, std::shared_ptr<RetryBudgetHandle>>(module, "RetryBudget")
      .def(py::init([](double ratio, double min_per_second, double max_balance, ClockPtr clock) {
             return std::make_shared<RetryBudgetHandle>(RetryBudgetConfig{ratio, min_per_second, max_balance},
                                                        std::move(clock));
           }),
           py::kw_only(), py::arg("ratio"), py::arg("min_per_second"), py::arg("max_balance"),
           py::arg("clock"))
      .def("on_call", [](RetryBudgetHandle& self) { self.machine.on_call(); })
      .def("try_take", [](RetryBudgetHandle& self) { return self.machine.try_take(self.time.now()); })
      .def_property_readonly("balance",
                             [](RetryBudgetHandle& self) { return self.machine.balance(self.time.now()); });
  py::class_<RetryState>(module, "RetryState")
      .def(py::init<>())
      .def_readonly("attempt", &RetryState::attempt);
  py::class_<RetryHandle, std::shared_ptr<RetryHandle>>(module, "Retry")
      .def(py::init([](std::int64_t attempts, double wait_initial, double wait_max, double wait_exp_base,
                       const std::string& jitter, std::uint64_t seed,
                       const std::optional<std::shared_ptr<RetryBudgetHandle>>& budget, ClockPtr clock) {
             const RetryConfig config{attempts,
                                      {wait_initial, wait_max, wait_exp_base, jitter_named(jitter)}};
             return std::make_shared<RetryHandle>(config, seed, std::move(clock), budget.value_or(nullptr));
           }),
           py::kw_only(), py::arg("attempts"), py::arg("wait_initial"), py::arg("wait_max"),
           py::arg("wait_exp_base"), py::arg("jitter"), py::arg("seed"), py::arg("budget"), py::arg("clock"))
      .def("after_failure", &after_failure, py::arg("state"), py::arg("retry_after"), py::arg("remaining"),
           "Seconds to wait before the next attempt, or why there is none: attempts, budget, deadline.");
}

}  // namespace resilience::bindings
