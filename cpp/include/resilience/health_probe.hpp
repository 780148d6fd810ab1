// Asks again and again whether something is up: by connecting over TCP, or by an HTTP GET that answers with a
// status below 400. It runs on the engine, one attempt at a time, each with a timeout; the next one starts an
// interval after the last has ended.
//
// Thread-safety: all members may be called from any thread. The callback runs on the engine's thread and must
// be native; once the probe is destroyed no attempt begins, and a result on its way may still come.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "resilience/clock.hpp"
#include "resilience/engine.hpp"

namespace resilience {

struct ProbeTarget {
  std::string host;
  std::string port;
  std::string path;  // of an HTTP GET; empty: connecting is enough

  // "tcp://host:port" or "http://host[:port][/path]", IPv6 addresses in brackets; none for anything else.
  static std::optional<ProbeTarget> parse(std::string_view url);
};

struct ProbeResult {
  bool healthy = false;
  Nanos latency = 0;
};

class HealthProbe {
 public:
  using OnResult = std::function<void(ProbeResult)>;

  // REQUIRES: interval > 0, timeout > 0. The first attempt starts one interval from now.
  HealthProbe(Engine& engine, ProbeTarget target, Nanos interval, Nanos timeout, OnResult on_result);
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;
  ~HealthProbe();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace resilience
