// What a process and its children use of the machine, and what the machine allows them.
//
// Linux: /proc for the processes, cgroup v1 or v2 for limits and throttling; the tightest limit on the way
// up to the root counts. Elsewhere supported() is false and Python falls back on psutil. What cannot be
// read is left out, never guessed.
//
// Thread-safety: none; one owner. A reading costs some ten file reads a process, about 0.2 ms: read it on a
// native thread, never on an event loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "resilience/clock.hpp"

namespace resilience {

struct SystemReading {
  std::optional<double> cpu_cores;         // cores in use since the last reading; nothing on the first
  std::optional<double> memory_bytes;      // resident, process and children
  std::optional<double> memory_limit;      // bytes: the cgroup's, else the machine's
  std::optional<double> memory_fraction;   // of the limit that is in use by whatever shares it
  std::optional<std::int64_t> open_files;  // descriptors, process and children
  std::optional<std::int64_t> threads;
  std::int64_t children = 0;
  std::optional<double> load_1m;
  std::optional<double> cpu_limit;        // cores that the cgroup allows
  std::optional<double> throttled_share;  // of the cgroup's periods since the last reading
};

class SystemProbe {
 public:
  // `process`: 0 is the calling process, asked anew at each reading so that a fork is followed.
  explicit SystemProbe(std::int64_t process = 0, std::string proc = "/proc",
                       std::string cgroups = "/sys/fs/cgroup");

  [[nodiscard]] static bool supported() noexcept;
  SystemReading read(Nanos now);

 private:
  struct Usage {
    double cpu_seconds = 0.0;
    double memory_bytes = 0.0;
    std::int64_t open_files = 0;
    std::int64_t threads = 0;
  };

  [[nodiscard]] std::optional<Usage> usage_of(const std::string& process) const;
  [[nodiscard]] std::vector<std::string> children_of(const std::string& process) const;
  void read_processes(SystemReading& reading, Nanos now);
  void read_cgroup_v2(SystemReading& reading, const std::string& path);
  void read_cgroup_v1(SystemReading& reading, const std::string& controllers, const std::string& path);
  void read_cgroups(SystemReading& reading);
  void read_machine(SystemReading& reading) const;
  void note_throttling(SystemReading& reading, const std::string& stat);

  std::int64_t process_;
  std::string proc_;
  std::string cgroups_;
  std::optional<Nanos> last_time_;
  double last_cpu_seconds_ = 0.0;
  double last_periods_ = 0.0;
  double last_throttled_ = 0.0;
  bool throttling_known_ = false;
};

}  // namespace resilience
