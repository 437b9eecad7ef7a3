// Calls of the operators from Python. torch.ops searches the keywords of a call for every name of the schema, which
// takes longer than a small problem; here every keyword is looked up once. Calls that hold anything unusual are
// declined and take the way of torch.ops, which knows every type and every error.
//
// Python's stable ABI serves every version of Python; torch's Python headers need more than it.
#include <Python.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

// From torch/csrc/autograd/python_variable.h and torch/csrc/Exceptions.h.
PyObject* THPVariable_Wrap(at::TensorBase&& tensor);
namespace torch {
void translate_exception_to_python(const std::exception_ptr& exception);
}

namespace {

using c10::IValue;
using c10::TypeKind;

// The start of torch's THPVariable from 2.10 on.
struct TensorObject {
  PyObject_HEAD at::Tensor tensor;
};

PyTypeObject* tensor_type = nullptr;
PyTypeObject* parameter_type = nullptr;

struct Argument {
  TypeKind kind;
  bool optional;
};

struct Operator {
  c10::OperatorHandle handle;
  std::vector<Argument> arguments;
  std::vector<IValue> defaults;
  PyObject* positions;  // a dictionary of the arguments' names
  std::size_t positional = 0;
  std::size_t required = 0;  // the leading arguments, without defaults
};

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { PyEval_RestoreThread(state_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

std::optional<std::int64_t> ToInteger(PyObject* object) {
  if (!PyLong_CheckExact(object)) return std::nullopt;
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow ? std::nullopt : std::optional<std::int64_t>(value);
}

// The readers return whether the object is of a usual type and *value is set.
bool ReadTensor(PyObject* object, IValue* value) {
  PyTypeObject* type = Py_TYPE(object);
  if (type != tensor_type && type != parameter_type) return false;
  *value = reinterpret_cast<TensorObject*>(object)->tensor;
  return true;
}

bool ReadInteger(PyObject* object, IValue* value) {
  const std::optional<std::int64_t> integer = ToInteger(object);
  if (integer) *value = *integer;
  return integer.has_value();
}

bool ReadNumber(PyObject* object, IValue* value) {
  if (PyFloat_CheckExact(object)) {
    *value = PyFloat_AsDouble(object);
    return true;
  }
  const std::optional<std::int64_t> integer = ToInteger(object);
  if (integer) *value = static_cast<double>(*integer);
  return integer.has_value();
}

bool ReadFlag(PyObject* object, IValue* value) {
  if (object != Py_True && object != Py_False) return false;
  *value = object == Py_True;
  return true;
}

bool ReadText(PyObject* object, IValue* value) {
  if (!PyUnicode_CheckExact(object)) return false;
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == nullptr) {
    PyErr_Clear();
    return false;
  }
  *value = std::string(text, static_cast<std::size_t>(size));
  return true;
}

bool ReadIntegers(PyObject* object, IValue* value) {
  const bool list = PyList_CheckExact(object);
  if (!list && !PyTuple_CheckExact(object)) return false;
  const Py_ssize_t size = list ? PyList_Size(object) : PyTuple_Size(object);
  c10::List<std::int64_t> integers;
  integers.reserve(static_cast<std::size_t>(size));
  for (Py_ssize_t i = 0; i < size; ++i) {
    const auto integer = ToInteger(list ? PyList_GetItem(object, i) : PyTuple_GetItem(object, i));
    if (!integer) return false;
    integers.push_back(*integer);
  }
  *value = std::move(integers);
  return true;
}

bool Read(PyObject* object, const Argument& argument, IValue* value) {
  if (object == Py_None) {
    *value = IValue();
    return argument.optional;
  }
  switch (argument.kind) {
    case TypeKind::TensorType: return ReadTensor(object, value);
    case TypeKind::IntType: return ReadInteger(object, value);
    case TypeKind::FloatType: return ReadNumber(object, value);
    case TypeKind::BoolType: return ReadFlag(object, value);
    case TypeKind::StringType: return ReadText(object, value);
    case TypeKind::ListType: return ReadIntegers(object, value);
    default: return false;
  }
}

// Fills the stack, which holds the defaults; false: declined.
bool ReadArguments(const Operator& op, PyObject* args, PyObject* kwargs, std::vector<IValue>* stack) {
  const auto count = static_cast<std::size_t>(PyTuple_Size(args));
  if (count > op.positional) return false;
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* object = PyTuple_GetItem(args, static_cast<Py_ssize_t>(i));
    if (!Read(object, op.arguments[i], &(*stack)[i])) return false;
  }
  PyObject *name, *object;
  for (Py_ssize_t next = 0; kwargs != nullptr && PyDict_Next(kwargs, &next, &name, &object);) {
    PyObject* found = PyDict_GetItem(op.positions, name);
    if (found == nullptr) return false;
    const std::size_t position = PyLong_AsSize_t(found);
    if (position < count || !Read(object, op.arguments[position], &(*stack)[position])) return false;
  }
  return std::none_of(stack->begin(), stack->begin() + op.required, [](const IValue& value) { return value.isNone(); });
}

// Modes of Python see the call as torch.ops makes it, and may turn the integers of the results into symbols.
bool IsWatched() { return at::impl::torch_function_mode_enabled() || c10::impl::TorchDispatchModeTLS::any_modes_set(); }

using Tensors = c10::SmallVector<at::Tensor, 8>;

// The last reference from C++ to a tensor of Python is dropped under the lock: were it a kernel's, that would have to
// take the lock for every tensor.
Tensors TensorsOf(const std::vector<IValue>& stack) {
  Tensors tensors;
  for (const IValue& value : stack) {
    if (value.isTensor()) tensors.push_back(value.toTensor());
  }
  return tensors;
}

PyObject* ToPython(IValue&& value) {
  if (value.isTensor()) return THPVariable_Wrap(std::move(value).toTensor());
  return PyLong_FromLongLong(value.toInt());
}

PyObject* Results(std::vector<IValue>&& stack) {
  if (stack.empty()) Py_RETURN_NONE;
  if (stack.size() == 1) return ToPython(std::move(stack[0]));
  PyObject* results = PyTuple_New(static_cast<Py_ssize_t>(stack.size()));
  for (std::size_t i = 0; results != nullptr && i < stack.size(); ++i) {
    PyObject* result = ToPython(std::move(stack[i]));
    if (result == nullptr || PyTuple_SetItem(results, static_cast<Py_ssize_t>(i), result) != 0) Py_CLEAR(results);
  }
  return results;
}

PyObject* Declined() {
  Py_INCREF(Py_NotImplemented);
  return Py_NotImplemented;
}

PyObject* Call(PyObject* capsule, PyObject* args, PyObject* kwargs) {
  if (IsWatched()) return Declined();
  try {
    const auto& op = *static_cast<const Operator*>(PyCapsule_GetPointer(capsule, nullptr));
    std::vector<IValue> stack(op.defaults);
    if (!ReadArguments(op, args, kwargs, &stack)) return Declined();
    const Tensors held = TensorsOf(stack);
    {
      const WithoutGil released;
      op.handle.callBoxed(stack);
    }
    return Results(std::move(stack));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  } catch (...) {
    torch::translate_exception_to_python(std::current_exception());
    return nullptr;
  }
}

// `name` is "npufa::operator" or "npufa::operator.overload".
std::unique_ptr<Operator> Describe(const std::string& name) {
  const std::size_t end = std::min(name.find('.'), name.size());
  const std::string overload = name.substr(std::min(end + 1, name.size()));
  const c10::OperatorHandle handle =
      c10::Dispatcher::singleton().findSchemaOrThrow(name.substr(0, end).c_str(), overload.c_str());
  std::unique_ptr<Operator> op(new Operator{handle, {}, {}, PyDict_New()});
  for (const c10::Argument& argument : op->handle.schema().arguments()) {
    const auto optional = argument.type()->cast<c10::OptionalType>();
    const c10::TypePtr type = optional ? optional->getElementType() : argument.type();
    const auto list = type->cast<c10::ListType>();
    const bool readable = !list || list->getElementType()->kind() == TypeKind::IntType;
    PyObject* position = PyLong_FromSize_t(op->arguments.size());
    PyDict_SetItemString(op->positions, argument.name().c_str(), position);
    Py_DECREF(position);
    op->arguments.push_back({readable ? type->kind() : TypeKind::AnyType, optional != nullptr});
    op->defaults.push_back(argument.default_value().value_or(IValue()));
    if (!argument.kwarg_only()) op->positional = op->arguments.size();
    if (!argument.default_value()) op->required = op->arguments.size();
  }
  return op;
}

void Delete(PyObject* capsule) {
  auto* op = static_cast<Operator*>(PyCapsule_GetPointer(capsule, nullptr));
  Py_DECREF(op->positions);
  delete op;
}

// bind(name): the function that calls the overload of that name, or returns NotImplemented.
PyObject* Bind(PyObject*, PyObject* name) {
  static PyMethodDef call = {"call", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Call)),
                             METH_VARARGS | METH_KEYWORDS, nullptr};
  const char* text = PyUnicode_AsUTF8AndSize(name, nullptr);
  if (text == nullptr) return nullptr;
  try {
    std::unique_ptr<Operator> op = Describe(text);
    PyObject* capsule = PyCapsule_New(op.get(), nullptr, &Delete);
    if (capsule == nullptr) return nullptr;
    op.release();
    PyObject* function = PyCFunction_New(&call, capsule);
    Py_DECREF(capsule);
    return function;
  } catch (...) {
    torch::translate_exception_to_python(std::current_exception());
    return nullptr;
  }
}

PyTypeObject* TypeOf(const char* module_name, const char* name) {
  PyObject* module = PyImport_ImportModule(module_name);
  PyObject* type = module != nullptr ? PyObject_GetAttrString(module, name) : nullptr;
  Py_XDECREF(module);
  return reinterpret_cast<PyTypeObject*>(type);
}

// Whether a tensor of Python lies in memory as TensorObject says.
bool KnowsTensors() {
  const at::Tensor tensor = at::empty({0});
  PyObject* object = THPVariable_Wrap(at::Tensor(tensor));
  if (object == nullptr) return false;
  const void* found = nullptr;
  std::memcpy(&found, &reinterpret_cast<TensorObject*>(object)->tensor, sizeof(found));
  Py_DECREF(object);
  if (found == tensor.unsafeGetTensorImpl()) return true;
  PyErr_SetString(PyExc_ImportError,
                  "npufa.lib.calls does not know how this torch lays out tensors: build npufa with it");
  return false;
}

}  // namespace

PyMODINIT_FUNC PyInit_calls() {
  static PyMethodDef methods[] = {{"bind", &Bind, METH_O, nullptr}, {nullptr, nullptr, 0, nullptr}};
  static PyModuleDef definition = {
      PyModuleDef_HEAD_INIT, "calls", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
  tensor_type = TypeOf("torch", "Tensor");
  parameter_type = TypeOf("torch.nn", "Parameter");
  if (tensor_type == nullptr || parameter_type == nullptr || !KnowsTensors()) return nullptr;
  return PyModule_Create(&definition);
}
