# CPU kernels for the aten operators of simulated devices; needs torch, but not torch_npu.
file(GLOB NPUFA_SIM_ATEN_SOURCES CONFIGURE_DEPENDS sim/torch/aten/*.cpp)
add_library(npufa_sim_aten SHARED ${NPUFA_SIM_ATEN_SOURCES})
set_target_properties(npufa_sim_aten PROPERTIES
  CXX_STANDARD 20
  LIBRARY_OUTPUT_DIRECTORY ${NPUFA_LIBRARY_DIR}
  BUILD_WITH_INSTALL_RPATH ON
  INSTALL_RPATH "$ORIGIN")
target_include_directories(npufa_sim_aten PRIVATE framework)  # torch_compat.h, torch_npu_compat.h
target_include_directories(npufa_sim_aten SYSTEM PRIVATE
  ${TORCH_DIR}/include ${TORCH_DIR}/include/torch/csrc/api/include)
target_link_libraries(npufa_sim_aten PRIVATE npufa_sim ${TORCH_DIR}/lib/libtorch_cpu.so ${TORCH_DIR}/lib/libc10.so)
