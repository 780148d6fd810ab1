#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "request_metrics_handle.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

std::vector<double> bounds() {
  std::vector<double> seconds;
  seconds.reserve(RequestMetrics::kBounds.size());
  for (const Nanos bound : RequestMetrics::kBounds) {
    seconds.push_back(seconds_from_nanos(bound));
  }
  return seconds;
}

// (method, route, status, seconds, buckets) of each
py::list series_of(const RequestMetricsHandle& self) {
  py::list all;
  self.machine.each([&](const RequestMetrics::Key& key, const RequestMetrics::Series& series) {
    all.append(py::make_tuple(key.method, key.route, key.status, seconds_from_nanos(series.total),
                              py::tuple(py::cast(series.buckets))));
  });
  return all;
}

// (span, requests, errors, mean, p50, p99); seconds, None where nothing was measured
py::tuple to_tuple(const MinuteSummary& summary) {
  py::object mean = py::none();
  py::object p50 = py::none();
  py::object p99 = py::none();
  if (summary.requests != 0) {
    mean = py::float_(seconds_from_nanos(summary.total) / static_cast<double>(summary.requests));
    p50 = py::float_(seconds_from_nanos(summary.p50));
    p99 = py::float_(seconds_from_nanos(summary.p99));
  }
  return py::make_tuple(seconds_from_nanos(summary.span), summary.requests, summary.errors, mean, p50, p99);
}

}  // namespace

void register_request_metrics(py::module_& module) {
  py::class_<RequestMetricsHandle, std::shared_ptr<RequestMetricsHandle>>(module, "RequestMetrics")
      .def(py::init([](const std::optional<std::shared_ptr<Clock>>& clock) {
             return std::make_shared<RequestMetricsHandle>(clock.value_or(nullptr));
           }),
           py::kw_only(), py::arg("clock") = py::none())
      .def_static("bounds", &bounds)
      .def_static("is_probe", [](const std::string& path) { return RequestMetrics::is_probe(path); })
      .def(
          "observe",
          [](RequestMetricsHandle& self, const std::string& method, const std::string& route, int status,
             double seconds) {
            const Nanos duration = std::max<Nanos>(0, nanos_from_seconds(seconds));
            self.machine.observe(self.time.now(), method, route, status, duration);
          },
          py::arg("method"), py::arg("route"), py::arg("status"), py::arg("seconds"))
      .def("series", &series_of)
      .def("last_minute",
           [](const RequestMetricsHandle& self) {
             return to_tuple(self.machine.last_minute(self.time.now()));
           })
      .def("probes_of_last_minute",
           [](const RequestMetricsHandle& self) {
             return to_tuple(self.machine.probes_of_last_minute(self.time.now()));
           })
      .def("requests", [](const RequestMetricsHandle& self) { return self.machine.requests(); })
      .def("seconds",
           [](const RequestMetricsHandle& self) { return seconds_from_nanos(self.machine.total()); })
      .def("age",
           [](const RequestMetricsHandle& self) {
             return seconds_from_nanos(self.machine.age(self.time.now()));
           })
      .def_property(
          "active", [](const RequestMetricsHandle& self) { return self.machine.active; },
          [](RequestMetricsHandle& self, std::int64_t active) { self.machine.active = active; })
      .def_property(
          "websockets", [](const RequestMetricsHandle& self) { return self.machine.websockets; },
          [](RequestMetricsHandle& self, std::int64_t websockets) { self.machine.websockets = websockets; });
}

}  // namespace resilience::bindings
