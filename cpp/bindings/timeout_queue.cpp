#include "timeout_queue.hpp"

#include <algorithm>
#include <utility>

#include "running_loop.hpp"

namespace py = pybind11;

namespace resilience::bindings {

namespace {

// What is called on every arming, looked up once. One interpreter is assumed, as everywhere in the bindings.
struct Names {
  PyObject* current_task = nullptr;
  PyObject* tasks = nullptr;  // by loop, where current_task() itself would look; null from 3.14 on
  PyObject* cancel = PyUnicode_InternFromString("cancel");
  PyObject* uncancel = PyUnicode_InternFromString("uncancel");
  PyObject* cancelling = PyUnicode_InternFromString("cancelling");
  PyObject* zero = PyLong_FromLong(0);  // compared by identity: cancelling() answers with the small int

  bool ready() {
    if (current_task == nullptr) {
      PyObject* asyncio = PyImport_ImportModule("asyncio");
      if (asyncio == nullptr) {
        return false;
      }
      current_task = PyObject_GetAttrString(asyncio, "current_task");
#if PY_VERSION_HEX < 0x030E0000
      PyObject* module = PyObject_GetAttrString(asyncio, "tasks");
      tasks = module == nullptr ? nullptr : PyObject_GetAttrString(module, "_current_tasks");
      Py_XDECREF(module);
      PyErr_Clear();
#endif
      Py_DECREF(asyncio);
    }
    return current_task != nullptr;
  }
};

Names& names() {
  static Names instance;
  return instance;
}

// A count that a task's method answers with; -1 with an exception set.
long count(PyObject* task, PyObject* method) {
  PyObject* answer = PyObject_CallMethodNoArgs(task, method);
  if (answer == nullptr) {
    return -1;
  }
  const long value = answer == names().zero ? 0 : PyLong_AsLong(answer);
  Py_DECREF(answer);
  return value;
}

// The task that `loop` is running, None, or null with an exception set (new reference).
PyObject* current_task(PyObject* loop) {
  if (names().tasks != nullptr && PyDict_CheckExact(names().tasks)) {
    PyObject* task = PyDict_GetItemWithError(names().tasks, loop);
    return task != nullptr || PyErr_Occurred() != nullptr ? Py_XNewRef(task) : Py_NewRef(Py_None);
  }
  return PyObject_CallOneArg(names().current_task, loop);
}

}  // namespace

// The queue of one event loop and its timer.
class TimeoutQueue::OnLoop : public std::enable_shared_from_this<TimeoutQueue::OnLoop> {
 public:
  OnLoop(PyObject* loop, TimeSource time) : loop_(loop), time_(std::move(time)) {}
  OnLoop(const OnLoop&) = delete;
  OnLoop& operator=(const OnLoop&) = delete;
  ~OnLoop() {
    while (DeadlineLink* link = queue_.front()) {
      DeadlineQueue::disarm(*link);  // the loop has gone: these calls will never be resumed
    }
  }

  // Both callbacks reach this through weak pointers: the loop may keep them for longer than it lives.
  void bind(TimeoutQueue* owner) {
    const std::weak_ptr<OnLoop> weak = weak_from_this();
    on_timer_ = py::cpp_function([weak] {
      if (const auto self = weak.lock()) {
        self->ring();
      }
    });
    weakref_ = py::weakref(loop_, py::cpp_function([weak, owner](const py::object&) {
                             if (const auto self = weak.lock()) {
                               owner->forget(self.get());
                             }
                           }));
  }

  [[nodiscard]] bool serves(PyObject* loop) const noexcept { return loop == loop_; }

  bool arm(TimeoutEntry& entry, Nanos deadline) {
    queue_.arm(entry, deadline);
    return (timer_set_ && timer_at_ <= deadline) || set_timer(deadline);
  }

 private:
  bool set_timer(Nanos deadline) {
    timer_set_ = true;
    timer_at_ = deadline;
    if (ManualClock* manual = time_.clock().manual()) {
      manual->schedule(deadline, [weak = weak_from_this()] {
        const py::gil_scoped_acquire gil;
        if (const auto self = weak.lock()) {
          self->ring_on_loop();
        }
      });
      return true;
    }
    const double delay = seconds_from_nanos(std::max<Nanos>(0, deadline - time_.now()));
    PyObject* handle = PyObject_CallMethod(loop_, "call_later", "dO", delay, on_timer_.ptr());
    Py_XDECREF(handle);
    timer_set_ = handle != nullptr;
    return timer_set_;
  }

  // A manual clock is advanced from anywhere.
  void ring_on_loop() {
    PyObject* running = running_loop("");
    PyErr_Clear();
    Py_XDECREF(running);
    if (running == loop_) {
      ring();
      return;
    }
    PyObject* handle = PyObject_CallMethod(loop_, "call_soon_threadsafe", "O", on_timer_.ptr());
    Py_XDECREF(handle);
    PyErr_Clear();  // a closed loop has nobody left to tell
  }

  void ring() {
    timer_set_ = false;
    const Nanos now = time_.now();
    while (DeadlineLink* link = queue_.take_due(now)) {
      auto* entry = static_cast<TimeoutEntry*>(link);
      entry->fired = true;
      PyObject* task = Py_NewRef(entry->task);  // cancel() may end the call, and the entry with it
      PyObject* done = PyObject_CallMethodNoArgs(task, names().cancel);
      if (done == nullptr) {
        PyErr_WriteUnraisable(task);
      }
      Py_XDECREF(done);
      Py_DECREF(task);
    }
    const DeadlineLink* next = queue_.front();
    if (next != nullptr && !timer_set_ && !set_timer(next->deadline)) {
      PyErr_WriteUnraisable(loop_);
    }
  }

  PyObject* loop_;  // borrowed: forgotten when the loop goes
  TimeSource time_;
  DeadlineQueue queue_;
  bool timer_set_ = false;
  Nanos timer_at_ = 0;
  py::object on_timer_;
  py::object weakref_;
};

TimeoutQueue::~TimeoutQueue() = default;

TimeoutQueue::OnLoop* TimeoutQueue::on_loop(PyObject* loop) {
  for (const auto& known : loops_) {
    if (known->serves(loop)) {
      return known.get();
    }
  }
  return add_loop(loop);
}

TimeoutQueue::OnLoop* TimeoutQueue::add_loop(PyObject* loop) {
  try {
    auto added = std::make_shared<OnLoop>(loop, time_);
    added->bind(this);
    loops_.push_back(added);
    return added.get();
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  }
}

void TimeoutQueue::forget(const OnLoop* gone) noexcept {
  std::erase_if(loops_, [gone](const auto& known) { return known.get() == gone; });
}

bool TimeoutQueue::arm(TimeoutEntry& entry, Nanos started) {
  if (!names().ready()) {
    return false;
  }
  PyObject* loop = running_loop("timeouts need a running asyncio event loop");
  if (loop == nullptr) {
    return false;
  }
  PyObject* task = current_task(loop);
  OnLoop* queue = task == nullptr || task == Py_None ? nullptr : on_loop(loop);
  Py_DECREF(loop);  // the loop runs, so it stays
  if (queue == nullptr) {
    if (task == Py_None) {
      PyErr_SetString(PyExc_RuntimeError, "timeouts need an asyncio task to cancel");
    }
    Py_XDECREF(task);
    return false;
  }
  entry.cancelling = count(task, names().cancelling);
  if (entry.cancelling < 0 || !queue->arm(entry, saturating_add(started, length_))) {
    if (entry.armed()) {
      DeadlineQueue::disarm(entry);
    }
    Py_DECREF(task);
    return false;
  }
  entry.fired = false;
  entry.task = task;
  return true;
}

bool TimeoutQueue::finish_armed(TimeoutEntry& entry) {
  PyObject* task = std::exchange(entry.task, nullptr);
  if (entry.armed()) {
    DeadlineQueue::disarm(entry);
  }
  bool expired = false;
  if (std::exchange(entry.fired, false)) {
    // The exception of the call, if any, must survive this.
    PyObject* type = nullptr;
    PyObject* value = nullptr;
    PyObject* traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    const long left = count(task, names().uncancel);
    if (left < 0) {
      PyErr_WriteUnraisable(task);
    }
    expired = left >= 0 && left <= entry.cancelling;
    PyErr_Restore(type, value, traceback);
  }
  Py_DECREF(task);
  return expired;
}

}  // namespace resilience::bindings
