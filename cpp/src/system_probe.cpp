#include "resilience/system_probe.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#ifdef __linux__
#include <unistd.h>
#endif

namespace resilience {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostProcesses = 4096;  // a runaway tree must not stop the sampling
constexpr double kUnlimited = 1e18;           // cgroup v1 writes "no limit" as a huge number

std::optional<std::string> text_of(const std::string& path) {
  const std::ifstream file(path);
  if (!file) {
    return std::nullopt;
  }
  std::ostringstream text;
  text << file.rdbuf();
  return file.bad() ? std::nullopt : std::optional(text.str());
}

std::optional<double> number_in(const std::string& text) {
  double value = 0.0;
  const char* begin = text.data();
  const auto [end, error] = std::from_chars(begin, begin + text.size(), value);
  return error == std::errc() && end != begin ? std::optional(value) : std::nullopt;
}

std::optional<double> number_of(const std::string& path) {
  const auto text = text_of(path);
  return text ? number_in(*text) : std::nullopt;
}

// The number after `key` in "key number" lines, as in cpu.stat and /proc/meminfo.
std::optional<double> field_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  std::string word;
  std::string value;
  while (lines >> word) {
    if (word == key && lines >> value) {
      return number_in(value);
    }
    lines.ignore(4096, '\n');
  }
  return std::nullopt;
}

void lower(std::optional<double>& limit, std::optional<double> other) {
  if (other && *other > 0.0 && *other < kUnlimited) {
    limit = limit ? std::min(*limit, *other) : *other;
  }
}

// The folder of a cgroup and of each of its parents, nearest first. A path that isn't there (a container
// sees its own cgroup as the root) leaves the root.
std::vector<std::string> upwards(const std::string& root, std::string path) {
  std::vector<std::string> folders;
  std::error_code error;
  while (!path.empty() && path != "/") {
    if (fs::is_directory(root + path, error)) {
      folders.push_back(root + path);
    }
    path.erase(path.find_last_of('/'));
  }
  folders.push_back(root);
  return folders;
}

#ifdef __linux__
double ticks_a_second() { return static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK))); }
double page_bytes() { return static_cast<double>(std::max(1L, ::sysconf(_SC_PAGESIZE))); }
std::int64_t own_process() { return ::getpid(); }
#else
double ticks_a_second() { return 100.0; }
double page_bytes() { return 4096.0; }
std::int64_t own_process() { return 0; }
#endif

}  // namespace

SystemProbe::SystemProbe(std::int64_t process, std::string proc, std::string cgroups)
    : process_(process), proc_(std::move(proc)), cgroups_(std::move(cgroups)) {}

bool SystemProbe::supported() noexcept {
#ifdef __linux__
  return true;
#else
  return false;
#endif
}

std::optional<SystemProbe::Usage> SystemProbe::usage_of(const std::string& process) const {
  const auto stat = text_of(proc_ + "/" + process + "/stat");
  if (!stat) {
    return std::nullopt;
  }
  const std::size_t name_end = stat->rfind(')');  // the name may hold anything, spaces and brackets too
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  constexpr std::size_t kUser = 11;  // positions after the name, as in proc(5), from the state on
  constexpr std::size_t kThreads = 17;
  constexpr std::size_t kResident = 21;
  std::istringstream words(stat->substr(name_end + 1));
  std::vector<double> fields;
  std::string word;
  while (fields.size() <= kResident && words >> word) {
    fields.push_back(number_in(word).value_or(0.0));
  }
  if (fields.size() <= kResident) {
    return std::nullopt;
  }
  Usage usage;
  // User and system time, its own and of the children it has waited for.
  usage.cpu_seconds =
      (fields[kUser] + fields[kUser + 1] + fields[kUser + 2] + fields[kUser + 3]) / ticks_a_second();
  usage.threads = static_cast<std::int64_t>(fields[kThreads]);
  usage.memory_bytes = fields[kResident] * page_bytes();
  std::error_code error;
  for (fs::directory_iterator entry(proc_ + "/" + process + "/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++usage.open_files;
  }
  return usage;
}

std::vector<std::string> SystemProbe::children_of(const std::string& process) const {
  std::vector<std::string> children;
  std::error_code error;
  for (fs::directory_iterator task(proc_ + "/" + process + "/task", error), end; !error && task != end;
       task.increment(error)) {
    std::istringstream words(text_of(task->path().string() + "/children").value_or(""));
    std::string word;
    while (words >> word) {
      children.push_back(word);
    }
  }
  return children;
}

void SystemProbe::read_processes(SystemReading& reading, Nanos now) {
  std::vector<std::string> processes{std::to_string(process_ > 0 ? process_ : own_process())};
  Usage sum;
  bool found = false;
  for (std::size_t i = 0; i < processes.size() && processes.size() < kMostProcesses; ++i) {
    const std::string process = processes[i];
    const auto usage = usage_of(process);
    if (!usage) {
      continue;  // it has ended since it was listed
    }
    found = true;
    reading.children += i > 0 ? 1 : 0;
    sum.cpu_seconds += usage->cpu_seconds;
    sum.memory_bytes += usage->memory_bytes;
    sum.open_files += usage->open_files;
    sum.threads += usage->threads;
    const auto children = children_of(process);
    processes.insert(processes.end(), children.begin(), children.end());
  }
  if (!found) {
    return;
  }
  reading.memory_bytes = sum.memory_bytes;
  reading.open_files = sum.open_files;
  reading.threads = sum.threads;
  if (last_time_ && now > *last_time_) {
    const double used = std::max(0.0, sum.cpu_seconds - last_cpu_seconds_);
    reading.cpu_cores = used / seconds_from_nanos(now - *last_time_);
  }
  last_time_ = now;
  last_cpu_seconds_ = sum.cpu_seconds;
}

void SystemProbe::note_throttling(SystemReading& reading, const std::string& stat) {
  const auto periods = field_of(stat, "nr_periods");
  const auto throttled = field_of(stat, "nr_throttled");
  if (!periods || !throttled) {
    return;
  }
  if (throttling_known_ && *periods > last_periods_) {
    reading.throttled_share = std::max(0.0, *throttled - last_throttled_) / (*periods - last_periods_);
  }
  throttling_known_ = true;
  last_periods_ = *periods;
  last_throttled_ = *throttled;
}

void SystemProbe::read_cgroup_v2(SystemReading& reading, const std::string& path) {
  bool nearest = true;
  for (const std::string& folder : upwards(cgroups_, path)) {
    const auto limit = number_of(folder + "/memory.max");  // "max" is no number: no limit
    if (limit && (!reading.memory_limit || *limit < *reading.memory_limit)) {
      reading.memory_limit = limit;
      if (const auto used = number_of(folder + "/memory.current"); used && *limit > 0.0) {
        reading.memory_fraction = *used / *limit;
      }
    }
    std::istringstream quota(text_of(folder + "/cpu.max").value_or(""));
    std::string most;
    std::string period;
    quota >> most >> period;
    const auto time = number_in(most);  // none where it says "max"
    const auto each = number_in(period);
    if (time && each && *each > 0.0) {
      lower(reading.cpu_limit, *time / *each);
    }
    if (const auto stat = text_of(folder + "/cpu.stat"); stat && nearest) {
      note_throttling(reading, *stat);
      nearest = false;
    }
  }
}

void SystemProbe::read_cgroup_v1(SystemReading& reading, const std::string& controllers,
                                 const std::string& path) {
  const auto has = [&](const std::string& name) {
    return ("," + controllers + ",").find("," + name + ",") != std::string::npos;
  };
  if (has("memory")) {
    for (const std::string& folder : upwards(cgroups_ + "/memory", path)) {
      const auto limit = number_of(folder + "/memory.limit_in_bytes");
      if (limit && *limit < kUnlimited && (!reading.memory_limit || *limit < *reading.memory_limit)) {
        reading.memory_limit = limit;
        if (const auto used = number_of(folder + "/memory.usage_in_bytes"); used && *limit > 0.0) {
          reading.memory_fraction = *used / *limit;
        }
      }
    }
  }
  if (has("cpu")) {
    bool nearest = true;
    for (const std::string& folder : upwards(cgroups_ + "/cpu", path)) {
      const auto quota = number_of(folder + "/cpu.cfs_quota_us");  // -1: no limit
      const auto period = number_of(folder + "/cpu.cfs_period_us");
      if (quota && *quota > 0.0 && period && *period > 0.0) {
        lower(reading.cpu_limit, *quota / *period);
      }
      if (const auto stat = text_of(folder + "/cpu.stat"); stat && nearest) {
        note_throttling(reading, *stat);
        nearest = false;
      }
    }
  }
}

void SystemProbe::read_cgroups(SystemReading& reading) {
  const std::string process = process_ > 0 ? std::to_string(process_) : "self";
  std::istringstream lines(text_of(proc_ + "/" + process + "/cgroup").value_or(""));
  std::string line;
  while (std::getline(lines, line)) {  // "0::/path" is v2, "4:cpu,cpuacct:/path" is v1
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      read_cgroup_v2(reading, path);
    } else {
      read_cgroup_v1(reading, controllers, path);
    }
  }
}

void SystemProbe::read_machine(SystemReading& reading) const {
  reading.load_1m = number_of(proc_ + "/loadavg");
  const auto meminfo = text_of(proc_ + "/meminfo");
  if (!meminfo) {
    return;
  }
  constexpr double kKibi = 1024.0;
  const auto total = field_of(*meminfo, "MemTotal:");
  const auto available = field_of(*meminfo, "MemAvailable:");
  if (!total || *total <= 0.0) {
    return;
  }
  if (!reading.memory_limit || *total * kKibi < *reading.memory_limit) {
    reading.memory_limit = *total * kKibi;
    reading.memory_fraction = available ? std::optional(1.0 - *available / *total) : std::nullopt;
  }
}

SystemReading SystemProbe::read(Nanos now) {
  SystemReading reading;
  if (supported()) {
    read_processes(reading, now);
    read_cgroups(reading);
    read_machine(reading);
  }
  return reading;
}

}  // namespace resilience
