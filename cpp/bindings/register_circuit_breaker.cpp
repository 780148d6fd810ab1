// The slow methods of a circuit breaker. They are attached to its hand-written type; the hot ones are in
// guard.cpp.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "bindings.hpp"
#include "circuit_breaker_type.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

using Settings = CircuitBreakerConfig;
using SharedSettings = std::shared_ptr<const Settings>;

BreakerLayer& layer(const py::handle& self) {
  BreakerLayer& found = reinterpret_cast<BreakerObject*>(self.ptr())->layer;
  if (found.machine == nullptr) {
    throw py::value_error("the circuit breaker was not initialised: call super().__init__() first");
  }
  return found;
}

std::uint32_t count(long long value, const char* argument) {
  if (value < 0 || std::cmp_greater(value, UINT32_MAX)) {
    throw py::value_error(
        require(false, argument, "a whole number >= 0", static_cast<double>(value)).message());
  }
  return static_cast<std::uint32_t>(value);
}

std::shared_ptr<Settings> make_settings(const py::dict& given) {
  const auto whole = [&given](const char* key) { return count(given[key].cast<long long>(), key); };
  const auto seconds = [&given](const char* key) { return nanos_from_seconds(given[key].cast<double>()); };
  const auto optional = [&given](const char* key) { return given[key].cast<std::optional<double>>(); };
  auto settings = std::make_shared<Settings>();
  settings->failure_threshold = whole("failure_threshold");
  settings->failure_rate_threshold = optional("failure_rate_threshold");
  if (const auto slow = optional("slow_call_duration")) {
    settings->slow_call_duration = nanos_from_seconds(*slow);
  }
  settings->slow_call_rate_threshold = optional("slow_call_rate_threshold");
  settings->minimum_calls = whole("minimum_calls");
  settings->monitor_window = seconds("monitor_window");
  settings->window_calls = whole("window_calls");
  settings->recovery_timeout = seconds("recovery_timeout");
  settings->recovery_jitter = given["recovery_jitter"].cast<double>();
  settings->recovery_backoff = given["recovery_backoff"].cast<double>();
  settings->max_recovery_timeout = seconds("max_recovery_timeout");
  settings->success_threshold = whole("success_threshold");
  settings->half_open_requests = whole("half_open_requests");
  settings->half_open_concurrency = whole("half_open_concurrency");
  settings->probe_timeout = seconds("probe_timeout");
  if (const InvalidArgument problem = settings->validate()) {
    throw py::value_error(problem.message());
  }
  return settings;
}

// Replaces what a field holds; None empties it.
void hold(PyObject*& field, const py::object& value) {
  Py_XSETREF(field, value.is_none() ? nullptr : value.inc_ref().ptr());
}

void set_rules(const py::object& self, const py::object& failure_on, const py::object& ignore,
               const py::object& failure_result, const py::object& fallback, bool has_fallback) {
  auto* object = reinterpret_cast<BreakerObject*>(self.ptr());
  hold(object->layer.failure_on, failure_on);
  hold(object->layer.ignore, ignore);
  hold(object->layer.failure_result, failure_result);
  Plan& plan = object->guard.plan;
  Py_XSETREF(plan.fallback, has_fallback ? Py_NewRef(fallback.ptr()) : nullptr);
  plan.fallback_callable = has_fallback && PyCallable_Check(fallback.ptr()) != 0;
  plan.keeps_arguments = plan.fallback_callable;
}

void set_up(const py::object& self, const py::str& name, const std::shared_ptr<Settings>& settings,
            std::shared_ptr<Clock> clock) {
  auto* object = reinterpret_cast<BreakerObject*>(self.ptr());
  if (object->layer.machine != nullptr) {
    throw py::value_error("the circuit breaker was initialised already");
  }
  BreakerLayer& own = object->layer;
  own.time = TimeSource(std::move(clock));
  own.machine = std::make_unique<CircuitBreaker>(SharedSettings(settings), own.time.now());
  Py_XSETREF(own.name, Py_NewRef(name.ptr()));
  object->guard.plan.breaker = &own;
}

template <typename Change>
bool apply(const py::object& self, Change change) {
  BreakerLayer& own = layer(self);
  const std::optional<StateChange> changed = change(*own.machine, own.time.now());
  if (changed) {
    tell_change(own, *changed);
  }
  return changed.has_value();
}

py::tuple try_admit(const py::object& self) {
  BreakerRun run;
  if (!admit(layer(self), run)) {
    throw py::error_already_set();
  }
  return py::make_tuple(run.permit.generation, run.permit.lease, run.started);
}

void settle_admitted(const py::object& self, const py::tuple& token, const py::object& error, bool released) {
  BreakerLayer& own = layer(self);
  const BreakerRun run{{token[0].cast<std::uint32_t>(), token[1].cast<std::uint32_t>()},
                       token[2].cast<Nanos>()};
  if (released) {
    settle_release(own, run);
  } else if (error.is_none()) {
    settle(own, run, Outcome::kSuccess, nullptr);
  } else {
    settle(own, run, classify(own, error.ptr()), error.ptr());
  }
}

void record_elsewhere(const py::object& self, double seconds, const py::object& error) {
  BreakerLayer& own = layer(self);
  const Outcome outcome = error.is_none() ? Outcome::kSuccess : classify(own, error.ptr());
  const Nanos duration = nanos_from_seconds(seconds < 0.0 ? 0.0 : seconds);
  const Nanos now = own.time.now();
  // As if the call had started under the present state, so that late outcomes stay late.
  const Recorded recorded = own.machine->record_external(outcome, duration, now);
  tell_recorded(own, recorded, outcome, duration, error.is_none() ? nullptr : error.ptr());
}

py::object seconds_or_none(Nanos value) {
  return value < 0 ? py::object(py::none()) : py::object(py::float_(seconds_from_nanos(value)));
}

py::dict snapshot(const py::object& self) {
  const BreakerLayer& own = layer(self);
  const BreakerSnapshot now = own.machine->snapshot(own.time.now());
  py::dict result;
  result["state"] = static_cast<int>(now.state);
  result["calls"] = now.window.calls;
  result["failures"] = now.window.failures;
  result["slow"] = now.window.slow;
  result["cancelled"] = now.window.cancelled;
  result["consecutive_failures"] = now.consecutive_failures;
  result["retry_after"] = seconds_or_none(now.retry_after);
  const BreakerTotals& totals = now.totals;
  py::dict sums;
  sums["successes"] = totals.successes;
  sums["failures"] = totals.failures;
  sums["ignored"] = totals.ignored;
  sums["cancelled"] = totals.cancelled;
  sums["slow"] = totals.slow;
  sums["rejected"] = totals.rejected;
  sums["late"] = totals.late;
  result["totals"] = sums;
  const bool any = now.latency.count() != 0;
  const auto percentile = [&](double q) { return seconds_or_none(any ? now.latency.percentile(q) : -1); };
  result["latency"] = py::make_tuple(percentile(0.5), percentile(0.9), percentile(0.99));
  py::list in_state;
  py::list entered;
  for (std::size_t i = 0; i < kBreakerStates; ++i) {
    in_state.append(seconds_from_nanos(now.time_in_state[i]));
    entered.append(now.entered[i]);
  }
  result["time_in_state"] = in_state;
  result["entered"] = entered;
  return result;
}

template <typename Function, typename... Extra>
void method(const char* name, Function function, Extra... extra) {
  const py::handle type(reinterpret_cast<PyObject*>(circuit_breaker_type()));
  py::setattr(type, name, py::cpp_function(function, py::name(name), py::is_method(type), extra...));
}

// What it is made of, and the outcomes of calls that run without the native guard.
void register_setup_and_calls() {
  method("_set_up", set_up, py::arg("name"), py::arg("settings"), py::arg("clock"));
  method("_set_rules", set_rules, py::arg("failure_on"), py::arg("ignore"), py::arg("failure_result"),
         py::arg("fallback"), py::arg("has_fallback"));
  method(
      "_change_settings",
      [](const py::object& self, const std::shared_ptr<Settings>& settings) {
        layer(self).machine->reconfigure(SharedSettings(settings));
      },
      py::arg("settings"));
  method("_listen", [](const py::object& self, bool on) { layer(self).listening = on; }, py::arg("on"));
  method("_admit", try_admit);
  method("_settle", settle_admitted, py::arg("token"), py::arg("error"), py::arg("released"));
  method("_record", record_elsewhere, py::arg("seconds"), py::arg("error"));
}

// What it tells of itself.
void register_figures() {
  method("_snapshot", snapshot);
  method("_state", [](const py::object& self) {
    const BreakerLayer& own = layer(self);
    return static_cast<int>(own.machine->state(own.time.now()));
  });
  method("_window", [](const py::object& self) {
    const BreakerLayer& own = layer(self);
    const WindowCounts counts = own.machine->window(own.time.now());
    return py::make_tuple(counts.calls, counts.failures, counts.cancelled);
  });
  method("_unix_time", [](const py::object& self) { return layer(self).time.clock().unix_time(); });
  method("_opened_until", [](const py::object& self) {
    const BreakerLayer& own = layer(self);
    const Nanos until = own.machine->opened_until();
    const bool over =
        own.machine->state(own.time.now()) == BreakerState::kClosed;  // a forced opening that ran out
    return seconds_or_none(over || until == kForever ? -1 : until);
  });
  method("_last_failure_time", [](const py::object& self) -> py::object {
    const double when = layer(self).last_failure_time;
    return when < 0.0 ? py::object(py::none()) : py::object(py::float_(when));
  });
  method("_bytes", [](const py::object& self) { return layer(self).machine->bytes(); });
}

// What changes its state from outside.
void register_commands() {
  method("_clear_last_failure", [](const py::object& self) { layer(self).last_failure_time = -1.0; });
  method("_reset_state", [](const py::object& self) {
    return apply(self, [](CircuitBreaker& breaker, Nanos now) { return breaker.reset(now); });
  });
  method(
      "_force_open",
      [](const py::object& self, const std::optional<double>& ttl) {
        const Nanos length = ttl ? nanos_from_seconds(*ttl) : kForever;
        return apply(
            self, [length](CircuitBreaker& breaker, Nanos now) { return breaker.force_open(length, now); });
      },
      py::arg("ttl"));
  method("_disable", [](const py::object& self) {
    return apply(self, [](CircuitBreaker& breaker, Nanos now) { return breaker.disable(now); });
  });
  method("_metrics_only", [](const py::object& self) {
    return apply(self, [](CircuitBreaker& breaker, Nanos now) { return breaker.metrics_only(now); });
  });
  method(
      "_trip",
      [](const py::object& self, double seconds) {
        const Nanos length = nanos_from_seconds(seconds);  // NaN becomes 0, which is ignored
        return apply(self,
                     [length](CircuitBreaker& breaker, Nanos now) { return breaker.trip(length, now); });
      },
      py::arg("seconds"));
  method("_health_succeeded", [](const py::object& self) {
    return apply(self, [](CircuitBreaker& breaker, Nanos now) { return breaker.health_succeeded(now); });
  });
  method("_hold_open", [](const py::object& self) { layer(self).machine->hold_open(); });
}

}  // namespace

void register_circuit_breaker(py::module_& module) {
  if (!init_circuit_breaker_type(module.ptr())) {
    throw py::error_already_set();
  }
  py::class_<Settings, std::shared_ptr<Settings>>(module, "CircuitBreakerSettings",
                                                  "Checked settings, shared by breakers of one kind.")
      .def(py::init(&make_settings), py::arg("given"));
  register_setup_and_calls();
  register_figures();
  register_commands();
}

}  // namespace resilience::bindings
