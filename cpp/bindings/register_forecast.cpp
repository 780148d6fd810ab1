#include <pybind11/stl.h>

#include <string>

#include "bindings.hpp"
#include "forecast_handles.hpp"
#include "resilience/backtest.hpp"
#include "resilience/provisioner.hpp"

namespace py = pybind11;

namespace resilience::bindings {

void check_load(std::optional<double> load, const char* argument) {
  constexpr double kMost = 1e15;  // the forecasters' sums of squares stay far from the end of doubles
  if (load && !(*load >= 0.0 && *load <= kMost)) {
    throw py::value_error(
        require(false, argument, "a finite number >= 0 and at most 1e15, or None for a gap", *load)
            .message());
  }
}

void check_loads(const Loads& loads, const char* argument) {
  for (const auto& load : loads) {
    check_load(load, argument);
  }
}

ForecastKind checked_kind(const std::string& name, const char* argument) {
  if (const auto kind = forecast_kind(name)) {
    return *kind;
  }
  std::string kinds;
  for (const std::string_view known : kForecastKinds) {
    kinds.append(kinds.empty() ? "" : ", ").append(known);
  }
  throw py::value_error(std::string(argument) + " must be one of " + kinds + ", got '" + name + "'");
}

namespace {

struct ProvisionerHandle {
  std::shared_ptr<std::mutex> mutex;
  std::unique_ptr<Provisioner> machine;
};

ForecasterHandle make_forecaster(double step, double lead_time, const std::string& kind, double start_time) {
  const ForecasterConfig config{step, lead_time, checked_kind(kind, "kind"), start_time};
  if (const InvalidArgument problem = config.validate()) {
    throw py::value_error(problem.message());
  }
  return {std::make_shared<Forecaster>(config)};
}

py::tuple forecast(ForecasterHandle& self, const std::vector<double>& quantiles) {
  for (const double q : quantiles) {
    if (!(q > 0.0 && q < 1.0)) {
      throw py::value_error(require(false, "quantiles", "numbers in (0, 1)", q).message());
    }
  }
  double mean = 0.0;
  double confidence = 0.0;
  std::string_view trend;
  std::vector<double> values;
  unlocked(*self.mutex, [&] {
    mean = self.machine->mean();
    confidence = self.machine->confidence();
    trend = trend_name(self.machine->trend());
    for (const double q : quantiles) {
      values.push_back(self.machine->quantile(q));
    }
  });
  return py::make_tuple(mean, values, confidence, py::str(trend.data(), trend.size()));
}

ProvisionerHandle make_provisioner(const ForecasterHandle& forecaster, const ProvisionerConfig& config) {
  if (const InvalidArgument problem = config.validate()) {
    throw py::value_error(problem.message());
  }
  return unlocked(*forecaster.mutex, [&] {
    return ProvisionerHandle{forecaster.mutex, std::make_unique<Provisioner>(forecaster.machine, config)};
  });
}

py::dict decision(ProvisionerHandle& self) {
  const Decision made = unlocked(*self.mutex, [&] { return self.machine->decision(); });
  py::dict entry;
  entry["units"] = made.units;
  entry["reactive_units"] = made.reactive_units;
  entry["forecast"] = made.forecast;
  entry["margin"] = made.margin;
  entry["floor"] = made.floor;
  entry["rule"] = std::string(made.rule.empty() ? "reactive" : made.rule);
  return entry;
}

std::vector<std::int64_t> replay(ProvisionerHandle& self, const Loads& loads) {
  check_loads(loads, "values");
  return unlocked(*self.mutex, [&] {
    std::vector<std::int64_t> units;
    units.reserve(loads.size());
    for (const auto& load : loads) {
      units.push_back(self.machine->observe(load));
    }
    return units;
  });
}

std::vector<double> replay_forecaster(ForecasterHandle& self, const Loads& loads) {
  check_loads(loads, "values");
  return unlocked(*self.mutex, [&] {
    std::vector<double> means;
    means.reserve(loads.size());
    for (const auto& load : loads) {
      self.machine->observe(load);
      means.push_back(self.machine->mean());
    }
    return means;
  });
}

void register_forecaster(py::module_& module) {
  py::class_<ForecasterHandle>(module, "NativeForecaster")
      .def(py::init(&make_forecaster), py::kw_only(), py::arg("step"), py::arg("lead_time"), py::arg("kind"),
           py::arg("start_time"))
      .def(
          "observe",
          [](ForecasterHandle& self, std::optional<double> value) {
            check_load(value, "value");
            unlocked(*self.mutex, [&] { self.machine->observe(value); });
          },
          py::arg("value"))
      .def("replay", &replay_forecaster, py::arg("values"))
      .def("forecast", &forecast, py::arg("quantiles"))
      .def("count", [](ForecasterHandle& self) {
        return unlocked(*self.mutex, [&] { return self.machine->history().count(); });
      });
  module.def("forecast_kinds", [] {
    py::tuple kinds(kForecastKinds.size());
    for (std::size_t i = 0; i < kForecastKinds.size(); ++i) {
      kinds[i] = py::str(kForecastKinds[i].data(), kForecastKinds[i].size());
    }
    return kinds;
  });
}

void register_provisioner(py::module_& module) {
  py::class_<ProvisionerHandle>(module, "NativeProvisioner")
      .def(py::init([](const ForecasterHandle& forecaster, double capacity, double utilization, double delay,
                       double least, double most, bool guard) {
             return make_provisioner(forecaster, {capacity, utilization, delay, least, most, guard});
           }),
           py::kw_only(), py::arg("forecaster"), py::arg("capacity_per_unit"), py::arg("target_utilization"),
           py::arg("start_delay"), py::arg("min_units"), py::arg("max_units"), py::arg("guard"))
      .def(
          "observe",
          [](ProvisionerHandle& self, std::optional<double> value) {
            check_load(value, "value");
            return unlocked(*self.mutex, [&] { return self.machine->observe(value); });
          },
          py::arg("value"))
      .def("replay", &replay, py::arg("values"))
      .def("decision", &decision)
      .def(
          "set_start_delay",
          [](ProvisionerHandle& self, double seconds) {
            if (!(seconds > 0.0 && seconds <= kSecondsPerDay)) {
              throw py::value_error(
                  require(false, "start_delay", "a number of seconds in (0, 86400]", seconds).message());
            }
            unlocked(*self.mutex, [&] { self.machine->set_start_delay(seconds); });
          },
          py::arg("seconds"));
}

}  // namespace

void register_forecast(py::module_& module) {
  register_forecaster(module);
  register_provisioner(module);
}

}  // namespace resilience::bindings
