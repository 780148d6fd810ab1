#include "resilience/health_probe.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <chrono>
#include <utility>

#include "engine_context.hpp"

namespace resilience {

namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::size_t kStatusLine = 12;  // "HTTP/1.1 200"

bool valid_port(std::string_view port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  return error == std::errc{} && end == port.data() + port.size() && value >= 1 && value <= 65'535;
}

// Nothing that could end a header line or start another.
bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

// Splits "host:port" or "[v6]:port"; the port may be missing.
bool split_authority(std::string_view authority, ProbeTarget& target) {
  std::size_t end = authority.find(':');
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) {
      return false;
    }
    target.host = authority.substr(1, bracket - 1);
    end = bracket + 1 < authority.size() ? bracket + 1 : std::string_view::npos;
    if (end != std::string_view::npos && authority[end] != ':') {
      return false;
    }
  } else {
    target.host = authority.substr(0, end);
  }
  if (end != std::string_view::npos) {
    target.port = authority.substr(end + 1);
    return valid_port(target.port);
  }
  return true;
}

}  // namespace

std::optional<ProbeTarget> ProbeTarget::parse(std::string_view url) {
  constexpr std::string_view tcp_scheme = "tcp://";
  constexpr std::string_view http_scheme = "http://";
  const bool http = url.starts_with(http_scheme);
  if ((!http && !url.starts_with(tcp_scheme)) || !printable(url)) {
    return std::nullopt;
  }
  url.remove_prefix(http ? http_scheme.size() : tcp_scheme.size());
  const std::size_t slash = url.find('/');
  const std::string_view authority = url.substr(0, slash);
  ProbeTarget target;
  if (authority.find('@') != std::string_view::npos || !split_authority(authority, target) ||
      target.host.empty()) {
    return std::nullopt;
  }
  if (http) {
    target.path = slash == std::string_view::npos ? "/" : url.substr(slash, url.find('#') - slash);
    target.port = target.port.empty() ? "80" : target.port;
  } else if (target.port.empty() || (slash != std::string_view::npos && slash + 1 != url.size())) {
    return std::nullopt;
  }
  return target;
}

namespace {

// One attempt. Each step keeps it alive; the first to finish reports, and closes what the others wait for.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(Engine::Context& context, ProbeTarget target, std::function<void(ProbeResult)> done)
      : context_(context),
        target_(std::move(target)),
        resolver_(context.io),
        socket_(context.io),
        deadline_(context.io),
        done_(std::move(done)) {}

  // A handler that keeps the attempt alive and runs as the engine promises.
  template <class Step>
  auto guarded(Step step) {
    return [self = shared_from_this(), step](const ErrorCode& error, auto&&... rest) {
      self->context_.run([&] { step(*self, error, rest...); });
    };
  }

  void start(Nanos timeout) {
    started_ = SystemClock::instance()->now();
    deadline_.expires_after(std::chrono::nanoseconds(timeout));
    deadline_.async_wait(guarded([](Attempt& self, ErrorCode error) {
      if (!error) {
        self.finish(false);
      }
    }));
    context_.lookups.fetch_add(1);
    resolver_.async_resolve(
        target_.host, target_.port,
        [self = shared_from_this()](const ErrorCode& error, const tcp::resolver::results_type& found) {
          self->context_.lookups.fetch_sub(1);
          self->context_.run([&] { error ? self->finish(false) : self->connect(found); });
        });
  }

  void finish(bool healthy) {
    if (!done_) {
      return;
    }
    ErrorCode ignored;
    resolver_.cancel();
    deadline_.cancel();
    socket_.close(ignored);
    const auto done = std::exchange(done_, nullptr);
    done({healthy, SystemClock::instance()->now() - started_});
  }

 private:
  void connect(const tcp::resolver::results_type& found) {
    if (!done_) {
      return;
    }
    boost::asio::async_connect(socket_, found,
                               guarded([](Attempt& self, ErrorCode error, const tcp::endpoint&) {
                                 if (error || self.target_.path.empty()) {
                                   self.finish(!error);
                                 } else {
                                   self.ask();
                                 }
                               }));
  }

  void ask() {
    request_ = "GET " + target_.path + " HTTP/1.1\r\nHost: " + target_.host +
               "\r\nUser-Agent: resilience\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    boost::asio::async_write(socket_, boost::asio::buffer(request_),
                             guarded([](Attempt& self, ErrorCode error, std::size_t) {
                               error ? self.finish(false) : self.read_status();
                             }));
  }

  void read_status() {
    socket_.async_read_some(boost::asio::buffer(answer_.data() + got_, answer_.size() - got_),
                            guarded([](Attempt& self, ErrorCode error, std::size_t bytes) {
                              self.got_ += bytes;
                              if (self.got_ == kStatusLine) {
                                self.finish(self.status_is_fine());
                              } else if (error) {
                                self.finish(false);
                              } else {
                                self.read_status();
                              }
                            }));
  }

  [[nodiscard]] bool status_is_fine() const {
    const std::string_view line(answer_.data(), answer_.size());
    return line.starts_with("HTTP/1.") && line[8] == ' ' && (line[9] == '2' || line[9] == '3');
  }

  Engine::Context& context_;
  ProbeTarget target_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  std::function<void(ProbeResult)> done_;
  Nanos started_ = 0;
  std::string request_;
  std::array<char, kStatusLine> answer_{};
  std::size_t got_ = 0;
};

}  // namespace

struct HealthProbe::State : std::enable_shared_from_this<State> {
  State(Engine& on, ProbeTarget what, Nanos every, Nanos limit, OnResult report)
      : engine(on), target(std::move(what)), interval(every), timeout(limit), on_result(std::move(report)) {}

  void schedule() {
    const std::lock_guard lock(mutex);
    if (stopped) {
      return;
    }
    auto& clock = *SystemClock::instance();
    timer = engine.schedule(clock, saturating_add(clock.now(), interval), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->attempt();
      }
    });
  }

  // On the engine's thread.
  void attempt() {
    const auto context = engine.context();
    if (!context) {
      return;
    }
    const auto running =
        std::make_shared<Attempt>(*context, target, [weak = weak_from_this()](ProbeResult result) {
          if (const auto self = weak.lock()) {
            self->report(result);
          }
        });
    running->start(timeout);
  }

  void report(ProbeResult result) {
    {
      const std::lock_guard lock(mutex);
      if (stopped) {
        return;
      }
    }
    on_result(result);
    schedule();
  }

  Engine& engine;
  ProbeTarget target;
  Nanos interval;
  Nanos timeout;
  OnResult on_result;
  std::mutex mutex;
  Engine::TimerId timer = 0;  // guarded by mutex
  bool stopped = false;       // guarded by mutex
};

HealthProbe::HealthProbe(Engine& engine, ProbeTarget target, Nanos interval, Nanos timeout,
                         OnResult on_result)
    : state_(std::make_shared<State>(engine, std::move(target), interval, timeout, std::move(on_result))) {
  state_->schedule();
}

HealthProbe::~HealthProbe() {
  Engine::TimerId timer = 0;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    timer = state_->timer;
  }
  state_->engine.cancel(*SystemClock::instance(), timer);
}

}  // namespace resilience
