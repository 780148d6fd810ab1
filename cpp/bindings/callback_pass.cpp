#include "callback_pass.hpp"

#include <array>
#include <new>
#include <utility>

#include "errors.hpp"
#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

using Entries = std::vector<CallbackPass::Entry>;

PyTypeObject pass_type;
PyObject* call_soon_name = nullptr;
PyObject* context_names = nullptr;  // ("context",)

struct Pass {
  PyObject_HEAD PyObject* loop;
  std::size_t next;  // the entries before it have run
  Entries entries;
};

void drop(CallbackPass::Entry entry) {
  Py_DECREF(entry.callback);
  Py_DECREF(entry.context);
  Py_DECREF(entry.future);
}

// REQUIRES: an exception is set, which is neither KeyboardInterrupt nor SystemExit.
void report(PyObject* loop, const CallbackPass::Entry& entry) {
  const PyRef error(take_error());
  const PyRef details(Py_BuildValue("{s:N,s:O,s:O}", "message",
                                    PyUnicode_FromFormat("Exception in callback %R", entry.callback),
                                    "exception", error.get(), "future", entry.future));
  if (!details || !PyRef(PyObject_CallMethod(loop, "call_exception_handler", "O", details.get()))) {
    PyErr_WriteUnraisable(entry.callback);
  }
}

// False when the exception that is set must leave the loop.
bool run(PyObject* loop, const CallbackPass::Entry& entry) {
  if (PyContext_Enter(entry.context) < 0) {
    report(loop, entry);
    return true;
  }
  const PyRef done(PyObject_CallOneArg(entry.callback, entry.future));
  if (PyContext_Exit(entry.context) < 0) {
    return false;  // the callback left it twice: only a broken extension can
  }
  if (done) {
    return true;
  }
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0 || PyErr_ExceptionMatches(PyExc_SystemExit) != 0) {
    return false;
  }
  report(loop, entry);
  return true;
}

bool call_soon(PyObject* loop, PyObject* callback) {
  const std::array<PyObject*, 2> args{loop, callback};
  const PyRef handle(PyObject_VectorcallMethod(call_soon_name, args.data(), args.size(), nullptr));
  if (!handle) {
    PyErr_Clear();  // closed
  }
  return static_cast<bool>(handle);
}

PyObject* pass_call(PyObject* object, PyObject* /*args*/, PyObject* /*kwargs*/) {
  auto* pass = reinterpret_cast<Pass*>(object);
  const PyRef keep = PyRef::share(object);
  while (pass->next < pass->entries.size()) {
    const CallbackPass::Entry entry = pass->entries[pass->next++];
    if (run(pass->loop, entry)) {
      drop(entry);
      continue;
    }
    const SavedError leaving;
    drop(entry);
    if (pass->next < pass->entries.size()) {
      call_soon(pass->loop, object);
    }
    return nullptr;
  }
  Py_RETURN_NONE;
}

int pass_traverse(PyObject* object, visitproc visit, void* arg) {
  auto* pass = reinterpret_cast<Pass*>(object);
  Py_VISIT(pass->loop);
  for (std::size_t i = pass->next; i < pass->entries.size(); ++i) {
    Py_VISIT(pass->entries[i].callback);
    Py_VISIT(pass->entries[i].context);
    Py_VISIT(pass->entries[i].future);
  }
  return 0;
}

int pass_clear(PyObject* object) {
  auto* pass = reinterpret_cast<Pass*>(object);
  while (pass->next < pass->entries.size()) {
    drop(pass->entries[pass->next++]);
  }
  Py_CLEAR(pass->loop);
  return 0;
}

void pass_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  pass_clear(object);
  reinterpret_cast<Pass*>(object)->entries.~Entries();
  PyObject_GC_Del(object);
}

PyObject* pass_repr(PyObject* object) {
  const auto* pass = reinterpret_cast<Pass*>(object);
  return PyUnicode_FromFormat("<callbacks of %zd batched futures>",
                              static_cast<Py_ssize_t>(pass->entries.size() - pass->next));
}

}  // namespace

bool init_callback_pass() {
  pass_type.tp_name = "resilience._core._CallbackPass";
  pass_type.tp_basicsize = sizeof(Pass);
  pass_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  pass_type.tp_call = pass_call;
  pass_type.tp_traverse = pass_traverse;
  pass_type.tp_clear = pass_clear;
  pass_type.tp_dealloc = pass_dealloc;
  pass_type.tp_repr = pass_repr;
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&pass_type), 1);
  call_soon_name = PyUnicode_InternFromString("call_soon");
  context_names = Py_BuildValue("(s)", "context");
  return call_soon_name != nullptr && context_names != nullptr && PyType_Ready(&pass_type) == 0;
}

CallbackPass::~CallbackPass() {
  for (const Entry& entry : entries_) {
    drop(entry);
  }
}

void CallbackPass::add(PyObject* callback, PyObject* context, PyObject* future) {
  entries_.push_back({callback, context, Py_NewRef(future)});
}

void CallbackPass::schedule(PyObject* loop) {
  if (entries_.empty()) {
    return;
  }
  if (entries_.size() == 1) {  // as asyncio's own futures do
    const Entry& only = entries_.front();
    const std::array<PyObject*, 4> args{loop, only.callback, only.future, only.context};
    if (!PyRef(PyObject_VectorcallMethod(call_soon_name, args.data(), 3, context_names))) {
      PyErr_Clear();  // closed
    }
    return;
  }
  auto* pass = PyObject_GC_New(Pass, &pass_type);
  if (pass == nullptr) {
    PyErr_WriteUnraisable(loop);
    return;
  }
  pass->loop = Py_NewRef(loop);
  pass->next = 0;
  new (&pass->entries) Entries(std::exchange(entries_, {}));
  PyObject_GC_Track(reinterpret_cast<PyObject*>(pass));
  const PyRef owned(reinterpret_cast<PyObject*>(pass));
  call_soon(loop, owned.get());
}

}  // namespace resilience::bindings
