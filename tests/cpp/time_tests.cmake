# npufa_test_time: the simulator's time model as a Python module, for tests/sim/chip.
set(NPUFA_TIME_SOURCES)
foreach(part description cost bank_conflicts bandwidth l2_cache core_replay replay time_report perfetto timeline_bins
             timeline_spans finding_json time_api)
  list(APPEND NPUFA_TIME_SOURCES ${PROJECT_SOURCE_DIR}/sim/chip/${part}.cpp)
endforeach()
pybind11_add_module(npufa_test_time MODULE NO_EXTRAS
  ${CMAKE_CURRENT_LIST_DIR}/time_bindings.cpp ${NPUFA_TIME_SOURCES} ${NPUFA_CHIPS_SOURCE})
target_include_directories(npufa_test_time PRIVATE ${PROJECT_SOURCE_DIR}/sim/chip)
target_compile_options(npufa_test_time PRIVATE ${NPUFA_SIM_ARCH_FLAGS})
set_target_properties(npufa_test_time PROPERTIES
  CXX_STANDARD 20
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
