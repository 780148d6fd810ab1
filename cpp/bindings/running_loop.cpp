#include "running_loop.hpp"

#include <pthread.h>
#include <unistd.h>

#include <string_view>

#include "py_ref.hpp"

namespace resilience::bindings {

namespace {

PyObject* get_running_loop = nullptr;

#if PY_VERSION_HEX < 0x030C0000
// get_running_loop() of CPython 3.11 asks the system for the process's id, to tell a forked child that the
// loop isn't its own: 130 ns of a call that takes few hundred. Here a fork tells the new id instead, and what
// asyncio notes in the thread's dict is read as it lies there, once that was found to lie as expected.
struct LoopNote {
  PyObject ob_base;
  PyObject* loop;  // None when the loop has ended
  pid_t process;
};

PyObject* note_key = nullptr;
PyTypeObject* note_type = nullptr;  // of asyncio's own notes; null until one was seen
pid_t process = 0;

PyObject* find_note() {
  PyObject* all = PyThreadState_GetDict();
  return all == nullptr ? nullptr : PyDict_GetItemWithError(all, note_key);
}

// Borrowed; null, without an exception, when asyncio itself has to be asked.
PyObject* noted_loop() {
  PyObject* object = find_note();
  if (object == nullptr || Py_TYPE(object) != note_type) {
    PyErr_Clear();
    return nullptr;
  }
  const auto* note = reinterpret_cast<const LoopNote*>(object);
  return note->loop == Py_None || note->process != process ? nullptr : note->loop;
}

void learn_note(PyObject* running) {
  PyObject* object = find_note();
  if (object == nullptr || note_type != nullptr) {
    PyErr_Clear();
    return;
  }
  PyTypeObject* type = Py_TYPE(object);
  const auto* note = reinterpret_cast<const LoopNote*>(object);
  if (type->tp_name == std::string_view("_RunningLoopHolder") &&
      type->tp_basicsize == static_cast<Py_ssize_t>(sizeof(LoopNote)) && note->loop == running &&
      note->process == process) {
    note_type = type;
  }
}

bool init_notes() {
  note_key = PyUnicode_InternFromString("__asyncio_running_event_loop__");
  process = getpid();
  return note_key != nullptr && pthread_atfork(nullptr, nullptr, [] { process = getpid(); }) == 0;
}
#else
PyObject* noted_loop() { return nullptr; }
void learn_note(PyObject* /*running*/) {}
bool init_notes() { return true; }
#endif

}  // namespace

PyObject* running_loop(const char* otherwise) {
  if (PyObject* noted = noted_loop()) {
    return Py_NewRef(noted);
  }
  PyObject* running = PyObject_CallNoArgs(get_running_loop);
  if (running != nullptr) {
    learn_note(running);
  } else if (PyErr_ExceptionMatches(PyExc_RuntimeError) != 0) {
    PyErr_SetString(PyExc_RuntimeError, otherwise);
  }
  return running;
}

bool init_running_loop() {
  const PyRef events(PyImport_ImportModule("asyncio.events"));
  get_running_loop = events ? PyObject_GetAttrString(events.get(), "get_running_loop") : nullptr;
  return get_running_loop != nullptr && init_notes();
}

}  // namespace resilience::bindings
