#include "loop_bridge.hpp"

#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include <array>
#include <new>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

// Bridges by their loops' identities. An entry leaves when its bridge ends, before the loop's memory is free.
std::unordered_map<PyObject*, std::shared_ptr<LoopBridge>>& bridges() {
  static auto* all = new std::unordered_map<PyObject*, std::shared_ptr<LoopBridge>>;
  return *all;
}

bool open_ends(int& read_end, int& write_end) {
#ifdef __linux__
  read_end = write_end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return read_end >= 0;
#else
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) {
    return false;
  }
  for (const int end : ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
    fcntl(end, F_SETFL, O_NONBLOCK);
  }
  read_end = ends[0];
  write_end = ends[1];
  return true;
#endif
}

void ring(int write_end) noexcept {
  const std::uint64_t one = 1;
  // A full eventfd or pipe is as awake as can be.
  [[maybe_unused]] const auto written = write(write_end, &one, sizeof one);
}

void silence(int read_end) noexcept {
  std::array<char, 64> sink{};
#ifdef __linux__
  [[maybe_unused]] const auto got = read(read_end, sink.data(), sink.size());
#else
  while (read(read_end, sink.data(), sink.size()) > 0) {
  }
#endif
}

// What the loop calls, and by owning keeps the bridge alive; the pump thread waits on it too.
struct Doorbell {
  PyObject_HEAD std::shared_ptr<LoopBridge> bridge;
};

PyObject* answer(PyObject* self, PyObject* /*args*/, PyObject* /*kwargs*/) {
  const std::shared_ptr<LoopBridge> bridge = reinterpret_cast<Doorbell*>(self)->bridge;
  return bridge->drain() ? Py_NewRef(Py_None) : nullptr;
}

PyObject* wait_for_ring(PyObject* self, PyObject* timeout) {
  const double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  // The queue outlives the wait whatever happens to the bridge; it knows nothing of Python.
  const std::shared_ptr<CompletionQueue> queue = reinterpret_cast<Doorbell*>(self)->bridge->queue();
  bool rung = false;
  Py_BEGIN_ALLOW_THREADS;
  rung = queue->wait(nanos_from_seconds(seconds));
  Py_END_ALLOW_THREADS;
  return PyBool_FromLong(rung ? 1 : 0);
}

PyObject* has_ended(PyObject* self, PyObject* /*unused*/) {
  return PyBool_FromLong(reinterpret_cast<Doorbell*>(self)->bridge->queue()->closed() ? 1 : 0);
}

PyObject* end_bridge(PyObject* self, PyObject* /*unused*/) {
  reinterpret_cast<Doorbell*>(self)->bridge->end();
  Py_RETURN_NONE;
}

void free_doorbell(PyObject* self) {
  auto* doorbell = reinterpret_cast<Doorbell*>(self);
  PyTypeObject* type = Py_TYPE(self);
  doorbell->bridge->end();
  doorbell->bridge.~shared_ptr();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* doorbell_repr(PyObject* self) {
  return PyUnicode_FromFormat("<resilience doorbell at %p>", static_cast<void*>(self));
}

PyTypeObject* doorbell_type = nullptr;

PyTypeObject* make_doorbell_type() {
  static std::array<PyMethodDef, 4> methods{{
      {"wait", wait_for_ring, METH_O, "Block for at most so many seconds; True when results have arrived."},
      {"ended", has_ended, METH_NOARGS, "Whether the bridge has ended."},
      {"end", end_bridge, METH_NOARGS, "The loop is closed."},
      {nullptr, nullptr, 0, nullptr},
  }};
  static std::array<PyType_Slot, 6> slots{{
      {Py_tp_dealloc, reinterpret_cast<void*>(free_doorbell)},
      {Py_tp_call, reinterpret_cast<void*>(answer)},
      {Py_tp_repr, reinterpret_cast<void*>(doorbell_repr)},
      {Py_tp_methods, methods.data()},
      {Py_tp_doc, const_cast<char*>("What an event loop calls when native results have arrived for it.")},
      {0, nullptr},
  }};
  static PyType_Spec spec{"resilience._core._Doorbell", sizeof(Doorbell), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots.data()};
  return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
}

PyObject* make_doorbell(const std::shared_ptr<LoopBridge>& bridge) {
  if (doorbell_type == nullptr && (doorbell_type = make_doorbell_type()) == nullptr) {
    return nullptr;
  }
  PyObject* object = doorbell_type->tp_alloc(doorbell_type, 0);
  if (object != nullptr) {
    new (&reinterpret_cast<Doorbell*>(object)->bridge) std::shared_ptr<LoopBridge>(bridge);
  }
  return object;
}

// True when the loop said that it is closed, false with or without an exception otherwise.
bool is_closed(PyObject* loop) {
  const PyRef closed(PyObject_CallMethod(loop, "is_closed", nullptr));
  return closed && PyObject_IsTrue(closed.get()) == 1;
}

}  // namespace

LoopBridge::LoopBridge(PyObject* loop) : loop_(loop) {}

LoopBridge::~LoopBridge() {
  if (read_end_ >= 0) {
    close(read_end_);
    if (write_end_ != read_end_) {
      close(write_end_);
    }
  }
}

std::shared_ptr<LoopBridge> LoopBridge::of(PyObject* loop) {
  if (const auto found = bridges().find(loop); found != bridges().end()) {
    return found->second;
  }
  if (is_closed(loop)) {
    PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
    return nullptr;
  }
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  auto bridge = std::make_shared<LoopBridge>(loop);
  if (!bridge->connect(bridge)) {
    bridge->end();
    return nullptr;
  }
  bridges().emplace(loop, bridge);
  return bridge;
}

bool LoopBridge::connect(const std::shared_ptr<LoopBridge>& self) {
  if (!open_ends(read_end_, write_end_)) {
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  queue_ = std::make_shared<CompletionQueue>([fd = write_end_] { ring(fd); });
  const PyRef doorbell(make_doorbell(self));
  if (!doorbell) {
    return false;
  }
  const PyRef watching(PyObject_CallMethod(loop_, "add_reader", "iO", read_end_, doorbell.get()));
  if (watching) {
    return true;
  }
  if (PyErr_ExceptionMatches(PyExc_NotImplementedError) == 0) {
    return false;
  }
  PyErr_Clear();
  const PyRef pump(PyImport_ImportModule("resilience._loop_pump"));
  return pump && PyRef(PyObject_CallMethod(pump.get(), "start", "OO", loop_, doorbell.get()));
}

std::uint64_t LoopBridge::attach(OnCompletion on_completion, OnClosed on_closed) {
  const std::uint64_t handler = next_handler_++;
  handlers_.emplace(handler, Handler{std::move(on_completion), std::move(on_closed)});
  return handler;
}

void LoopBridge::detach(std::uint64_t handler) {
  const auto dropped = handlers_.extract(handler);  // dies last: it may own anything
}

bool LoopBridge::drain() {
  silence(read_end_);
  std::vector<Completion> arrived;
  queue_->drain(arrived);
  arrived_.insert(arrived_.end(), arrived.begin(), arrived.end());
  while (!arrived_.empty()) {
    const Completion next = arrived_.front();
    arrived_.pop_front();
    const auto found = handlers_.find(next.handler);
    if (found == handlers_.end()) {
      continue;  // detached meanwhile
    }
    const OnCompletion run = found->second.on_completion;  // it may detach itself
    if (!run(next.value)) {
      if (!arrived_.empty()) {
        ring(write_end_);  // the loop reports this one; the rest comes with the next pass
      }
      return false;
    }
  }
  return true;
}

void LoopBridge::end() {
  if (std::exchange(ended_, true)) {
    return;
  }
  if (queue_) {
    queue_->close();  // from here on no native thread touches the descriptor
  }
  std::shared_ptr<LoopBridge> self;
  if (const auto found = bridges().find(loop_); found != bridges().end() && found->second.get() == this) {
    self = std::move(found->second);
    bridges().erase(found);
  }
  const SavedError saved;  // it may be a destructor that ends the bridge
  while (!handlers_.empty()) {
    const auto handler = handlers_.extract(handlers_.begin());
    handler.mapped().on_closed();
  }
}

void LoopBridge::end_all() {
  const auto all = bridges();
  for (const auto& [loop, bridge] :
       all) {  // NOLINT(bugprone-nondeterministic-pointer-iteration-order): any will do
    bridge->end();
  }
}

}  // namespace resilience::bindings
