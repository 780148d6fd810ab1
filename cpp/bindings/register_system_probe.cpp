#include <pybind11/stl.h>

#include <memory>

#include "bindings.hpp"
#include "forecast_handles.hpp"
#include "resilience/system_probe.hpp"
#include "system_reading.hpp"

namespace py = pybind11;

namespace resilience::bindings {

py::dict to_dict(const SystemReading& reading) {
  py::dict figures;
  figures["cpu_cores"] = reading.cpu_cores;
  figures["memory_bytes"] = reading.memory_bytes;
  figures["memory_limit"] = reading.memory_limit;
  figures["memory_fraction"] = reading.memory_fraction;
  figures["open_files"] = reading.open_files;
  figures["threads"] = reading.threads;
  figures["children"] = reading.children;
  figures["load_1m"] = reading.load_1m;
  figures["cpu_limit"] = reading.cpu_limit;
  figures["throttled_share"] = reading.throttled_share;
  return figures;
}

namespace {

struct ProbeHandle {
  SystemProbe machine;
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();
};

}  // namespace

void register_system_probe(py::module_& module) {
  py::class_<ProbeHandle>(module, "NativeSystemProbe")
      .def(py::init([](std::int64_t process) { return ProbeHandle{SystemProbe(process)}; }), py::kw_only(),
           py::arg("process") = 0)
      .def_static("supported", &SystemProbe::supported)
      .def("read", [](ProbeHandle& self) {
        const SystemReading reading =
            unlocked(*self.mutex, [&] { return self.machine.read(SystemClock::instance()->now()); });
        return to_dict(reading);
      });
}

}  // namespace resilience::bindings
