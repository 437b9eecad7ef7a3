# npufa_test_primitives: the tile primitives as a Python module, for tests/cpu.
pybind11_add_module(npufa_test_primitives MODULE NO_EXTRAS ${CMAKE_CURRENT_LIST_DIR}/primitives_bindings.cpp)
target_link_libraries(npufa_test_primitives PRIVATE npufa_primitives)
set_target_properties(npufa_test_primitives PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
