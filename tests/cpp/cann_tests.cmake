# Operators of tests/sim/cann, as an operator package of its own: ${CMAKE_BINARY_DIR}/tests/cann_ops.
set(NPUFA_TEST_OPS ${PROJECT_SOURCE_DIR}/tests/sim/cann/ops)
set(NPUFA_TEST_OPS_ROOT ${CMAKE_BINARY_DIR}/tests/cann_ops)
npufa_sim_op_library(npufa_test_ops ROOT ${NPUFA_TEST_OPS_ROOT} DEFINITIONS ${NPUFA_TEST_OPS_ROOT}/op_defs.json
  HOST ${NPUFA_TEST_OPS}/scaled_add_def.cpp ${NPUFA_TEST_OPS}/list_total_def.cpp ${NPUFA_TEST_OPS}/host_functions.cpp
    ${PROJECT_SOURCE_DIR}/op_host/attention/forward_tiling.cpp ${PROJECT_SOURCE_DIR}/op_host/attention/forward_work.cpp
    ${PROJECT_SOURCE_DIR}/op_host/attention/antiquant_tiling.cpp ${PROJECT_SOURCE_DIR}/op_host/attention/sequence_tiling.cpp
  INCLUDE ${PROJECT_SOURCE_DIR}/op_host ${PROJECT_SOURCE_DIR}/sim)
npufa_sim_kernel(test_scaled_add ROOT ${NPUFA_TEST_OPS_ROOT} SOURCE ${NPUFA_TEST_OPS}/test_scaled_add.cpp)
npufa_sim_kernel(test_list_total ROOT ${NPUFA_TEST_OPS_ROOT} SOURCE ${NPUFA_TEST_OPS}/test_list_total.cpp)
