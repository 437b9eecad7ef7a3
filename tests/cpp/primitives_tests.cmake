# npufa_test_primitives: the tile primitives as a Python module; attention_check: what calls them, without torch.
set(NPUFA_AMX_EMULATOR)
if(TARGET npufa_primitives_amx)
  set(NPUFA_AMX_EMULATOR ${CMAKE_CURRENT_LIST_DIR}/amx_emulator.cpp)
endif()
pybind11_add_module(npufa_test_primitives MODULE NO_EXTRAS
  ${CMAKE_CURRENT_LIST_DIR}/primitives_bindings.cpp ${NPUFA_AMX_EMULATOR})
target_link_libraries(npufa_test_primitives PRIVATE npufa_primitives)
add_executable(npufa_attention_check
  ${CMAKE_CURRENT_LIST_DIR}/attention_check.cpp ${NPUFA_CPU_LOOPS} ${NPUFA_AMX_EMULATOR})
target_include_directories(npufa_attention_check PRIVATE ${PROJECT_SOURCE_DIR}/framework)
target_link_libraries(npufa_attention_check PRIVATE npufa_primitives)
set_target_properties(npufa_test_primitives npufa_attention_check PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
