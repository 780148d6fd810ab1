// What the engine's files share: the io_context, and the rule that every handler runs through run().
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <thread>
#include <utility>

#include "resilience/engine.hpp"

namespace resilience {

struct Engine::Context {
  Context(std::mutex& running, std::atomic<std::uint64_t>& failures)
      : io(1), work(io.get_executor()), timer(io), running_task(running), failed(failures) {}

  // Runs a task, or a handler of Asio, as the engine promises: alone, never during a fork, never fatal.
  // The task also dies inside, since what it owns may take locks.
  template <class Handler>
  void run(Handler handler) noexcept {
    const std::lock_guard lock(running_task);
    try {
      auto task = std::move(handler);
      task();
    } catch (...) {
      failed.fetch_add(1, std::memory_order_relaxed);
    }
  }

  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  boost::asio::steady_timer timer;  // touched on the engine's thread only
  std::thread thread;
  std::atomic<int> lookups{0};  // name lookups under way: they can't be interrupted
  std::mutex& running_task;     // the engine's, which outlives every context
  std::atomic<std::uint64_t>& failed;
};

}  // namespace resilience
