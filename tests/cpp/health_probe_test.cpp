#include "resilience/health_probe.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <future>
#include <string>
#include <thread>

namespace resilience {
namespace {

// A listening socket on a free port; answers one connection, or none.
class Server {
 public:
  Server() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
    socklen_t size = sizeof address;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    shutdown(socket_, SHUT_RDWR);
    close(socket_);
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // Answers every connection with `text`, a byte at a time, and closes it.
  void answer(std::string text) {
    thread_ = std::thread([this, text = std::move(text)] {
      for (int peer = 0; (peer = accept(socket_, nullptr, nullptr)) >= 0; close(peer)) {
        std::array<char, 512> request{};
        [[maybe_unused]] const auto got = recv(peer, request.data(), request.size(), 0);
        for (const char c : text) {
          [[maybe_unused]] const auto sent = send(peer, &c, 1, MSG_NOSIGNAL);
        }
      }
    });
  }
  [[nodiscard]] const std::string& port() const { return port_; }

 private:
  int socket_;
  std::string port_;
  std::thread thread_;
};

ProbeResult probe_once(const std::string& url, Nanos timeout = 20 * kNanosPerSecond) {
  Engine engine;
  std::promise<ProbeResult> first;
  std::atomic<bool> told{false};
  const HealthProbe probe(engine, ProbeTarget::parse(url).value(), kNanosPerMicro, timeout,
                          [&](ProbeResult result) {
                            if (!told.exchange(true)) {
                              first.set_value(result);
                            }
                          });
  const auto result = first.get_future().get();
  engine.shut_down();
  return result;
}

TEST(HealthProbe, ConnectingOverTcpIsEnough) {
  const Server server;
  const auto result = probe_once("tcp://127.0.0.1:" + server.port());
  EXPECT_TRUE(result.healthy);
  EXPECT_GT(result.latency, 0);
}

TEST(HealthProbe, ARefusedConnectionIsAFailure) {
  std::string port;
  {
    const Server gone;
    port = gone.port();
  }
  EXPECT_FALSE(probe_once("tcp://127.0.0.1:" + port).healthy);
}

TEST(HealthProbe, AnHttpStatusBelow400IsASuccess) {
  Server server;
  server.answer("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_TRUE(probe_once("http://127.0.0.1:" + server.port() + "/healthz").healthy);
}

TEST(HealthProbe, NamesAreLookedUp) {
  Server server;
  server.answer("HTTP/1.0 302 Found\r\n\r\n");
  EXPECT_TRUE(probe_once("http://localhost:" + server.port()).healthy);
}

TEST(HealthProbe, AnErrorStatusOrRubbishIsAFailure) {
  for (const char* answer : {"HTTP/1.1 503 Unavailable\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n",
                             "SSH-2.0-Open", "HTTP/1.", ""}) {
    Server server;
    server.answer(answer);
    EXPECT_FALSE(probe_once("http://127.0.0.1:" + server.port()).healthy) << answer;
  }
}

TEST(HealthProbe, ASilentServerIsAFailureAtTheTimeout) {
  const Server silent;
  const auto result = probe_once("http://127.0.0.1:" + silent.port(), 5 * kNanosPerMilli);
  EXPECT_FALSE(result.healthy);
  EXPECT_GE(result.latency, 5 * kNanosPerMilli);
}

TEST(HealthProbe, AttemptsFollowEachOtherUntilItIsDestroyed) {
  Engine engine;
  const Server server;
  std::atomic<int> results{0};
  std::promise<void> several;
  {
    const HealthProbe probe(engine, ProbeTarget::parse("tcp://127.0.0.1:" + server.port()).value(),
                            kNanosPerMilli, kNanosPerSecond, [&](ProbeResult) {
                              if (++results == 3) {
                                several.set_value();
                              }
                            });
    several.get_future().wait();
  }
  engine.shut_down();
  EXPECT_GE(results, 3);
}

TEST(ProbeTarget, UnderstandsUrls) {
  const auto tcp = ProbeTarget::parse("tcp://db.example:5432");
  ASSERT_TRUE(tcp.has_value());
  EXPECT_EQ(tcp->host + "|" + tcp->port + "|" + tcp->path, "db.example|5432|");
  const auto http = ProbeTarget::parse("http://api.example/health?full=1#top");
  ASSERT_TRUE(http.has_value());
  EXPECT_EQ(http->host + "|" + http->port + "|" + http->path, "api.example|80|/health?full=1");
  const auto v6 = ProbeTarget::parse("http://[::1]:8080");
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->host + "|" + v6->port + "|" + v6->path, "::1|8080|/");
}

TEST(ProbeTarget, RefusesEverythingElse) {
  for (const char* url : {"", "https://api.example", "api.example:80", "tcp://db.example", "tcp://:5432",
                          "tcp://db.example:0", "tcp://db.example:70000", "tcp://db.example:5432/path",
                          "http://user:secret@api.example/", "http://[::1", "http://[::1]x", "http:///path",
                          "http://a b/", "http://a/\r\nX: 1", "tcp://db:54x2"}) {
    EXPECT_FALSE(ProbeTarget::parse(url).has_value()) << url;
  }
}

}  // namespace
}  // namespace resilience
