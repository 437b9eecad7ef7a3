# npufa_test_common: the shared core (op_host/common) as a Python module, for tests/common.
pybind11_add_module(npufa_test_common MODULE NO_EXTRAS ${CMAKE_CURRENT_LIST_DIR}/common_bindings.cpp)
target_link_libraries(npufa_test_common PRIVATE npufa_common)
set_target_properties(npufa_test_common PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
