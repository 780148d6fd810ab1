#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "allocator_handle.hpp"
#include "bindings.hpp"
#include "forecast_handles.hpp"
#include "resilience/backtest.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

constexpr std::size_t kColumns = 6;  // time, rpm, connections, response time, CPU cores, memory fraction

py::str to_str(std::string_view text) { return {text.data(), text.size()}; }
py::object to_float(double value) { return std::isnan(value) ? py::none() : py::object(py::float_(value)); }

py::dict by_name(const Sizes& sizes) {
  py::dict named;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    named[to_str(kResourceNames[i])] = sizes[i];
  }
  return named;
}

py::dict by_name(const PolicyOutcome& outcome) {
  py::dict figures;
  figures["cold_unit_steps"] = outcome.cold_unit_steps;
  figures["cold_steps"] = outcome.cold_steps;
  figures["unit_hours"] = outcome.unit_hours;
  figures["wasted_unit_hours"] = outcome.wasted_unit_hours;
  return figures;
}

Resource resource_named(const std::string& name) {
  for (std::size_t i = 0; i < kResourceNames.size(); ++i) {
    if (kResourceNames[i] == name) {
      return static_cast<Resource>(i);
    }
  }
  throw py::value_error("resource must be workers, connections or cache_size_mb, got '" + name + "'");
}

ResizeOutcome outcome_named(const std::string& name) {
  for (std::size_t i = 0; i < kResizeOutcomeNames.size(); ++i) {
    if (kResizeOutcomeNames[i] == name) {
      return static_cast<ResizeOutcome>(i);
    }
  }
  throw py::value_error("unknown outcome '" + name + "'");
}

AllocatorHandle make(double interval, double history_days, double lead_time, const std::string& kind,
                     const Sizes& initial, const Sizes& least, const Sizes& limits,
                     std::optional<std::shared_ptr<Clock>> clock) {
  const AllocatorConfig config{interval, history_days, lead_time, checked_kind(kind, "forecaster"),
                               initial,  least,        limits};
  if (const InvalidArgument problem = config.validate()) {
    throw py::value_error(problem.message());
  }
  return {std::make_shared<AllocatorState>(config, std::move(clock).value_or(SystemClock::instance()))};
}

py::dict observe(AllocatorHandle& self, Measured rpm, Measured connections, Measured response_time,
                 Measured cpu_cores, Measured memory_fraction, Measured time) {
  const LoadSample sample = to_sample(rpm, connections, response_time, cpu_cores, memory_fraction);
  check_load(time, "timestamp");
  Step step;
  {
    const py::gil_scoped_release release;  // the state is native and locks itself
    step = self.state->observe(sample, time, true);
  }
  return to_dict(step);
}

// Forecasts and what stands around them, ready for JSON.
py::dict predictions(AllocatorHandle& self) {
  AllocatorState& state = *self.state;
  struct Seen {
    double rpm, rpm_p90, connections, response_time, confidence;
    std::string_view trend, rule;
    Sizes sizes;
    std::int64_t history;
    std::optional<double> latest;
    double rpm_per_worker;
    std::array<double, 2> delays;
  };
  const Seen seen = unlocked(state.mutex, [&] {
    const Allocator& machine = state.machine;
    const Forecaster& rpm = machine.rpm();
    return Seen{rpm.mean(),
                rpm.quantile(0.9),
                machine.connections().mean(),
                machine.response_time().mean(),
                rpm.confidence(),
                trend_name(rpm.trend()),
                machine.rule(),
                machine.current(),
                static_cast<std::int64_t>(machine.history().size()),
                state.grid.latest(),
                machine.rpm_per_worker(),
                {machine.start_delay(Resource::kWorkers), machine.start_delay(Resource::kConnections)}};
  });
  py::dict figures;
  figures["expected_connections"] = seen.connections;
  figures["expected_rpm"] = seen.rpm;
  figures["expected_rpm_p90"] = seen.rpm_p90;
  figures["expected_response_time"] = seen.response_time;
  figures["confidence"] = seen.confidence;
  figures["trend"] = to_str(seen.trend);
  figures["rule"] = to_str(seen.rule);
  figures["current"] = by_name(seen.sizes);
  figures["history_size"] = seen.history;
  figures["latest"] = seen.latest;
  figures["rpm_per_worker"] = seen.rpm_per_worker;
  figures["workers_start_delay"] = seen.delays[0];
  figures["connections_start_delay"] = seen.delays[1];
  return figures;
}

py::list audit(AllocatorHandle& self) {
  const auto entries = unlocked(self.state->mutex, [&] { return self.state->machine.audit(); });
  py::list dicts;
  for (const AuditEntry& entry : entries) {
    dicts.append(to_dict(entry));
  }
  return dicts;
}

// The history as rows of little-endian doubles, NaN for what was not measured.
py::bytes rows(AllocatorHandle& self) {
  const auto samples = unlocked(self.state->mutex, [&] { return self.state->machine.history(); });
  std::vector<double> table;
  table.reserve(samples.size() * kColumns);
  const double none = std::nan("");
  for (const LoadSample& sample : samples) {
    table.insert(table.end(), {sample.time, sample.rpm.value_or(none), sample.connections.value_or(none),
                               sample.response_time.value_or(none), sample.cpu_cores.value_or(none),
                               sample.memory_fraction.value_or(none)});
  }
  return {reinterpret_cast<const char*>(table.data()), table.size() * sizeof(double)};
}

std::int64_t restore(AllocatorHandle& self, const py::bytes& rows_of_doubles) {
  const std::string_view bytes = rows_of_doubles;
  constexpr std::size_t kRow = kColumns * sizeof(double);
  if (bytes.size() % kRow != 0) {
    throw py::value_error("rows must hold whole rows of six doubles");
  }
  const auto measured = [](double value) { return std::isnan(value) ? std::nullopt : std::optional(value); };
  std::vector<LoadSample> samples;
  constexpr double kLatestTime = 253'402'300'799.0;  // the last second that people can read as a date
  double latest = -HUGE_VAL;
  for (std::size_t at = 0; at < bytes.size(); at += kRow) {
    std::array<double, kColumns> row{};
    std::memcpy(row.data(), bytes.data() + at, kRow);
    const bool in_order = row[0] > latest && row[0] >= 0.0 && row[0] <= kLatestTime;  // not so for NaN
    if (!in_order) {
      throw py::value_error("rows must be in order of time, from the year 1970 to the year 9999");
    }
    latest = row[0];
    LoadSample sample =
        to_sample(measured(row[1]), measured(row[2]), measured(row[3]), measured(row[4]), measured(row[5]));
    sample.time = row[0];
    samples.push_back(sample);
  }
  {
    const py::gil_scoped_release release;
    self.state->restore(samples);
  }
  return static_cast<std::int64_t>(samples.size());
}

py::dict run_backtest(AllocatorHandle& self) {
  std::vector<std::optional<double>> loads;
  ForecasterConfig forecaster;
  ProvisionerConfig provisioner;
  unlocked(self.state->mutex, [&] {
    for (const LoadSample& sample : self.state->machine.history()) {
      loads.push_back(sample.rpm);
    }
    forecaster = self.state->machine.rpm().config();
    provisioner = self.state->machine.worker_provisioning();
  });
  BacktestResult result;
  {
    const py::gil_scoped_release release;  // works on copies of its own
    result = backtest(loads, forecaster, provisioner);
  }
  py::dict figures;
  figures["steps"] = result.steps;
  figures["needed_unit_hours"] = result.needed_unit_hours;
  figures["predictive"] = by_name(result.predictive);
  figures["reactive"] = by_name(result.reactive);
  figures["static"] = by_name(result.fixed);
  return figures;
}

}  // namespace

LoadSample to_sample(Measured rpm, Measured connections, Measured response_time, Measured cpu_cores,
                     Measured memory_fraction) {
  check_load(rpm, "rpm");
  check_load(connections, "connections");
  check_load(response_time, "response_time");
  check_load(cpu_cores, "cpu_cores");
  check_load(memory_fraction, "memory_fraction");
  return {0.0, rpm, connections, response_time, cpu_cores, memory_fraction};
}

py::dict to_dict(const AuditEntry& entry) {
  py::dict figures;
  figures["id"] = entry.id;
  figures["time"] = entry.time;
  figures["resource"] = to_str(kResourceNames[index_of(entry.resource)]);
  figures["from"] = entry.from;
  figures["to"] = entry.to;
  figures["rule"] = to_str(entry.rule);
  figures["measured"] = to_float(entry.measured);
  figures["forecast"] = entry.forecast;
  figures["quantile"] = entry.quantile;
  figures["forecast_at_quantile"] = entry.forecast_at_quantile;
  figures["margin"] = entry.margin;
  figures["confidence"] = entry.confidence;
  figures["outcome"] = to_str(kResizeOutcomeNames[static_cast<std::size_t>(entry.outcome)]);
  return figures;
}

py::dict to_dict(const Step& step) {
  py::list proposals;
  for (const AuditEntry& entry : step.proposals) {
    proposals.append(to_dict(entry));
  }
  py::dict figures;
  figures["time"] = step.tick.time;
  figures["steps"] = step.tick.steps;
  figures["set_back"] = step.tick.set_back;
  figures["proposals"] = proposals;
  return figures;
}

void register_allocator(py::module_& module) {
  py::class_<AllocatorHandle>(module, "NativeAllocator")
      .def(py::init(&make), py::kw_only(), py::arg("interval"), py::arg("history_days"), py::arg("lead_time"),
           py::arg("forecaster"), py::arg("initial"), py::arg("least"), py::arg("limits"),
           py::arg("clock") = py::none())
      .def("observe", &observe, py::kw_only(), py::arg("rpm") = py::none(),
           py::arg("connections") = py::none(), py::arg("response_time") = py::none(),
           py::arg("cpu_cores") = py::none(), py::arg("memory_fraction") = py::none(),
           py::arg("timestamp") = py::none())
      .def(
          "settle",
          [](AllocatorHandle& self, std::int64_t id, const std::string& outcome, std::int64_t actual) {
            const ResizeOutcome became = outcome_named(outcome);
            unlocked(self.state->mutex, [&] { self.state->machine.settle(id, became, actual); });
          },
          py::arg("decision"), py::arg("outcome"), py::arg("actual"))
      .def(
          "started",
          [](AllocatorHandle& self, const std::string& resource, double seconds) {
            const Resource which = resource_named(resource);
            check_load(seconds, "seconds");
            unlocked(self.state->mutex, [&] { self.state->machine.started(which, seconds); });
          },
          py::arg("resource"), py::arg("seconds"))
      .def("predictions", &predictions)
      .def("audit", &audit)
      .def("rows", &rows)
      .def("restore", &restore, py::arg("rows"))
      .def("backtest", &run_backtest);
}

}  // namespace resilience::bindings
