#include <pybind11/stl.h>

#include "bindings.hpp"
#include "policy_handles.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

using Key = std::optional<std::string>;
using PyTicket = std::pair<std::int64_t, std::uint64_t>;

double as_seconds(Nanos wait) { return wait < 0 ? -1.0 : seconds_from_nanos(wait); }

}  // namespace

void register_rate_limiter(py::module_& module) {
  py::class_<RateLimiterHandle, std::shared_ptr<RateLimiterHandle>>(module, "RateLimiter")
      .def(py::init([](double rate, double per, double burst, std::size_t max_keys, ClockPtr clock) {
             return std::make_shared<RateLimiterHandle>(RateLimiterConfig{rate, per, burst}, max_keys,
                                                        std::move(clock));
           }),
           py::kw_only(), py::arg("rate"), py::arg("per"), py::arg("burst"), py::arg("max_keys"),
           py::arg("clock"))
      .def("reconfigure",
           [](RateLimiterHandle& self, double rate, double per, double burst) {
             self.machine.reconfigure(checked(RateLimiterConfig{rate, per, burst}));
           })
      .def(
          "try_acquire",
          [](RateLimiterHandle& self, const Key& key) {
            return as_seconds(self.machine.try_acquire(self.bucket(key), self.time.now()));
          },
          "0.0 when admitted, else the seconds to wait.")
      .def("wait",
           [](RateLimiterHandle& self, const Key& key) {
             return as_seconds(self.machine.wait(self.bucket(key), self.time.now()));
           })
      .def("enqueue",
           [](RateLimiterHandle& self, const Key& key, double max_wait, std::int64_t priority) {
             return to_python(self.machine.enqueue(self.bucket(key), self.time.now(),
                                                   nanos_from_seconds(max_wait), priority));
           })
      .def(
          "poll",
          [](RateLimiterHandle& self, const Key& key, const PyTicket& ticket) {
            return as_seconds(self.machine.poll(self.bucket(key), to_ticket(ticket), self.time.now()));
          },
          "0.0 when admitted, the seconds to wait, or -1.0 while somebody is in front.")
      .def(
          "leave",
          [](RateLimiterHandle& self, const Key& key, const PyTicket& ticket) -> py::object {
            auto& queue = self.bucket(key).queue;
            queue.leave(to_ticket(ticket));
            return queue.empty() ? py::none() : to_python(queue.front());
          },
          "Takes a ticket off the queue; returns the one that is in front now.")
      .def_property_readonly("keys", [](const RateLimiterHandle& self) { return self.keyed.size(); });
}

}  // namespace resilience::bindings
