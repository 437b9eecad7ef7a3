# The shared libraries of CANN that torch_npu's wheel is linked against, and those it opens by name for aclnn: tiny
# libraries beside libnpufa_sim.so, which has every real body.
set(NPUFA_SIM_SONAMES
  libacl_op_compiler libacl_tdt_channel libascend_protobuf libascendcl libatb libfmk_parser libge_runner
  libgraph libhccl libopapi)
foreach(soname IN LISTS NPUFA_SIM_SONAMES)
  set(target npufa_sim_${soname})
  add_library(${target} SHARED sim/torch/soname/library.cpp)
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME ${soname}
    CXX_STANDARD 17
    LIBRARY_OUTPUT_DIRECTORY ${NPUFA_LIBRARY_DIR}/sim
    BUILD_WITH_INSTALL_RPATH ON
    INSTALL_RPATH "$ORIGIN/..")
  target_compile_definitions(${target} PRIVATE NPUFA_SIM_NAMES="../names/${soname}.def")
  set_property(SOURCE sim/torch/soname/library.cpp APPEND PROPERTY OBJECT_DEPENDS
    ${PROJECT_SOURCE_DIR}/sim/torch/names/${soname}.def)
  target_link_libraries(${target} PRIVATE npufa_sim)
  target_link_options(${target} PRIVATE -Wl,--no-as-needed)
  list(APPEND NPUFA_SIM_STUB_TARGETS ${target})
endforeach()
add_custom_target(npufa_sim_torch DEPENDS ${NPUFA_SIM_STUB_TARGETS})
