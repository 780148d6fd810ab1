#include "resilience/engine.hpp"

#include <pthread.h>
#include <csignal>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdlib>
#include <map>
#include <unordered_map>
#include <vector>

#include "engine_context.hpp"

namespace resilience {

namespace {

// Threads inherit the mask of their maker: signals are for the interpreter's main thread.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

void name_this_thread() {
#ifdef __linux__
  pthread_setname_np(pthread_self(), "resilience");
#endif
}

// Contexts that can't be destroyed: a fork left them without their thread, or a name lookup is stuck.
std::vector<std::shared_ptr<Engine::Context>>& abandoned() {
  static auto* contexts = new std::vector<std::shared_ptr<Engine::Context>>;
  return *contexts;
}

}  // namespace

// Lock order: running_task, then mutex.
struct Engine::State {
  std::mutex running_task;  // held while a task runs; a fork takes it first
  mutable std::mutex mutex;
  std::shared_ptr<Context> context;                  // guarded by mutex; null while stopped
  std::map<std::pair<Nanos, TimerId>, Task> timers;  // guarded by mutex
  std::unordered_map<TimerId, Nanos> deadlines;      // guarded by mutex
  TimerId next_id = 1;                               // guarded by mutex
  Nanos armed = kForever;                            // guarded by mutex; when the timer will fire
  bool over = false;                                 // guarded by mutex
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> generation{0};

  std::shared_ptr<Context> started();
  void arm_for_first(Context& on);
  void rearm(Context& on);
  void run_due(Context& on);
  bool pop_due(Task& task);
  void end(bool for_good);
  void forked();
};

// REQUIRES: mutex held, not over.
std::shared_ptr<Engine::Context> Engine::State::started() {
  if (!context) {
    context = std::make_shared<Context>(running_task, failed);
    const SignalsBlocked blocked;
    // The thread shares ownership: handlers, which only it runs, take the context by reference.
    context->thread = std::thread([on = context] {
      name_this_thread();
      on->io.run();
    });
    arm_for_first(*context);
  }
  return context;
}

// REQUIRES: mutex held.
void Engine::State::arm_for_first(Context& on) {
  const Nanos first = timers.empty() ? kForever : timers.begin()->first.first;
  if (first < armed) {
    armed = first;
    boost::asio::post(on.io, [this, &on] { rearm(on); });
  }
}

void Engine::State::rearm(Context& on) {
  Nanos first = kForever;
  {
    const std::lock_guard lock(mutex);
    if (context.get() != &on) {
      return;  // stopped meanwhile: the next context arms its own timer
    }
    first = timers.empty() ? kForever : timers.begin()->first.first;
    armed = first;
  }
  if (first == kForever) {
    return;
  }
  // A day at a time: Asio's clock overflows on deadlines that mean "never".
  const Nanos wait = std::clamp<Nanos>(first - SystemClock::instance()->now(), 0, 86'400 * kNanosPerSecond);
  on.timer.expires_after(std::chrono::nanoseconds(wait));
  on.timer.async_wait([this, &on](const boost::system::error_code& error) {
    if (!error) {
      run_due(on);
      rearm(on);
    }
  });
}

bool Engine::State::pop_due(Task& task) {
  const std::lock_guard lock(mutex);
  if (timers.empty() || timers.begin()->first.first > SystemClock::instance()->now()) {
    return false;
  }
  auto node = timers.extract(timers.begin());
  deadlines.erase(node.key().second);
  task = std::move(node.mapped());
  return true;
}

void Engine::State::run_due(Context& on) {
  for (Task task; !on.io.stopped() && pop_due(task);) {
    on.run(std::move(task));
  }
}

void Engine::State::end(bool for_good) {
  std::shared_ptr<Context> ending;
  std::map<std::pair<Nanos, TimerId>, Task> dropped;
  {
    const std::lock_guard lock(mutex);
    over = over || for_good;
    if (over) {
      dropped.swap(timers);
      deadlines.clear();
    }
    armed = kForever;
    ending = std::exchange(context, nullptr);
  }
  if (!ending) {
    return;
  }
  ending->io.stop();
  if (ending->thread.get_id() == std::this_thread::get_id()) {
    ending->thread.detach();  // a task ends its own engine: the loop returns after it
    return;
  }
  ending->thread.join();
  if (ending->lookups.load() > 0) {
    const std::lock_guard lock(mutex);
    abandoned().push_back(std::move(ending));
  }
}

// On the child's side, holding both locks.
void Engine::State::forked() {
  if (context) {
    abandoned().push_back(std::move(context));
    context = nullptr;
  }
  timers.clear();
  deadlines.clear();
  armed = kForever;
  generation.fetch_add(1, std::memory_order_relaxed);
}

Engine::Engine() : state_(std::make_unique<State>()) {}

Engine::~Engine() { state_->end(true); }

Engine& Engine::instance() {
  static Engine* engine = [] {
    static auto* made = new Engine;
    pthread_atfork(
        [] {
          made->state_->running_task.lock();
          made->state_->mutex.lock();
        },
        [] {
          made->state_->mutex.unlock();
          made->state_->running_task.unlock();
        },
        [] {
          made->state_->forked();
          made->state_->mutex.unlock();
          made->state_->running_task.unlock();
        });
    std::atexit([] { made->shut_down(); });  // before static objects go, should nobody have done it
    return made;
  }();
  return *engine;
}

Engine::TimerId Engine::schedule(Clock& clock, Nanos deadline, Task task) {
  if (ManualClock* manual = clock.manual(); manual != nullptr) {
    return manual->schedule(deadline, std::move(task));
  }
  const std::lock_guard lock(state_->mutex);
  if (state_->over) {
    return 0;
  }
  const TimerId id = state_->next_id++;
  state_->timers.emplace(std::pair{deadline, id}, std::move(task));
  state_->deadlines.emplace(id, deadline);
  state_->arm_for_first(*state_->started());
  return id;
}

bool Engine::cancel(Clock& clock, TimerId id) {
  if (ManualClock* manual = clock.manual(); manual != nullptr) {
    return manual->cancel(id);
  }
  Task dropped;  // dies after the lock: it may own anything
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->deadlines.find(id);
  if (found == state_->deadlines.end()) {
    return false;
  }
  const auto timer = state_->timers.find({found->second, id});
  dropped = std::move(timer->second);
  state_->timers.erase(timer);
  state_->deadlines.erase(found);
  return true;  // the timer fires for nothing, which costs less than waking the thread to tell it
}

bool Engine::post(Task task) {
  const std::shared_ptr<Context> on = context();
  if (!on) {
    return false;
  }
  boost::asio::post(on->io,
                    [&runner = *on, task = std::move(task)]() mutable { runner.run(std::move(task)); });
  return true;
}

std::shared_ptr<Engine::Context> Engine::context() {
  const std::lock_guard lock(state_->mutex);
  return state_->over ? nullptr : state_->started();
}

void Engine::stop() { state_->end(false); }
void Engine::shut_down() { state_->end(true); }

bool Engine::running() const {
  const std::lock_guard lock(state_->mutex);
  return state_->context != nullptr;
}

std::size_t Engine::pending_timers() const {
  const std::lock_guard lock(state_->mutex);
  return state_->timers.size();
}

std::uint64_t Engine::failed_tasks() const noexcept { return state_->failed.load(std::memory_order_relaxed); }
std::uint64_t Engine::generation() const noexcept {
  return state_->generation.load(std::memory_order_relaxed);
}

struct Periodic::State : std::enable_shared_from_this<State> {
  State(Engine& on, std::shared_ptr<Clock> time, Nanos every, Engine::Task what)
      : engine(on), clock(std::move(time)), interval(every), task(std::move(what)) {}

  void schedule(Nanos deadline) {
    const std::lock_guard lock(mutex);
    if (!stopped) {
      timer = engine.schedule(*clock, deadline, [weak = weak_from_this(), deadline] {
        if (const auto self = weak.lock()) {
          self->run(deadline);
        }
      });
    }
  }

  void run(Nanos deadline) {
    {
      const std::lock_guard lock(mutex);
      if (stopped) {
        return;
      }
    }
    const Nanos next = saturating_add(deadline, interval);
    schedule(std::max(next, clock->now()));  // first, so that a task that throws doesn't end the series
    task();
  }

  Engine& engine;
  std::shared_ptr<Clock> clock;
  Nanos interval;
  Engine::Task task;
  std::mutex mutex;
  Engine::TimerId timer = 0;  // guarded by mutex
  bool stopped = false;       // guarded by mutex
};

Periodic::Periodic(Engine& engine, std::shared_ptr<Clock> clock, Nanos interval, Engine::Task task)
    : state_(std::make_shared<State>(engine, std::move(clock), interval, std::move(task))) {
  state_->schedule(saturating_add(state_->clock->now(), interval));
}

Periodic::~Periodic() {
  Engine::TimerId timer = 0;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    timer = state_->timer;
  }
  state_->engine.cancel(*state_->clock, timer);
}

}  // namespace resilience
