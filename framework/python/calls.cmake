# Python's module npufa.lib.calls, which shortens the way of a call. It is left out where Python.h is missing, or
# belongs to a Python without a lock, which has no stable ABI, and with torch before 2.10, whose tensors lie otherwise in
# Python's objects: calls then take the way of torch.ops.
if(NPUFA_TORCH_VERSION VERSION_LESS 2.10)
  return()
endif()
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
    "import sysconfig as s; print('' if s.get_config_var('Py_GIL_DISABLED') else s.get_path('include'))"
  OUTPUT_VARIABLE PYTHON_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT EXISTS ${PYTHON_INCLUDE}/Python.h)
  message(NOTICE "no Python.h (Debian, Ubuntu: apt install python3-dev): a call will take some microseconds more")
  return()
endif()

set(NPUFA_CALLS npufa_calls)
add_library(npufa_calls MODULE framework/python/calls.cpp)
set_target_properties(npufa_calls PROPERTIES
  CXX_STANDARD 20
  PREFIX ""
  OUTPUT_NAME calls
  SUFFIX .abi3.so
  LIBRARY_OUTPUT_DIRECTORY ${NPUFA_LIBRARY_DIR}
  BUILD_WITH_INSTALL_RPATH ON)
target_compile_definitions(npufa_calls PRIVATE Py_LIMITED_API=0x030a0000)
target_include_directories(npufa_calls SYSTEM PRIVATE ${PYTHON_INCLUDE}
  ${TORCH_DIR}/include ${TORCH_DIR}/include/torch/csrc/api/include)
target_link_libraries(npufa_calls PRIVATE
  ${TORCH_DIR}/lib/libtorch_python.so ${TORCH_DIR}/lib/libtorch_cpu.so ${TORCH_DIR}/lib/libc10.so)
