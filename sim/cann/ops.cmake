# Libraries that only operators need: their entry points generated from the definitions, and their kernels.

# npufa_sim_op_library(<name> ROOT <directory> HOST <sources> [INCLUDE <directories>] [DEFINITIONS <file>])
# Compiles the operators' host sources, generates their aclnn entry points (opbuild) and links both to
# <directory>/op_api/lib/libcust_opapi.so, which is where torch_npu looks when ASCEND_CUSTOM_OPP_PATH is <directory>.
# The definitions of the operators go to <file> (JSON).
function(npufa_sim_op_library name)
  cmake_parse_arguments(ARG "" "ROOT;DEFINITIONS" "HOST;INCLUDE" ${ARGN})
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${name}_aclnn)

  add_library(${name}_host OBJECT ${ARG_HOST})
  target_include_directories(${name}_host PRIVATE ${PROJECT_SOURCE_DIR}/sim/cann/include ${ARG_INCLUDE})

  add_executable(${name}_opbuild ${PROJECT_SOURCE_DIR}/sim/cann/opbuild.cpp
    ${PROJECT_SOURCE_DIR}/sim/cann/opbuild_json.cpp $<TARGET_OBJECTS:${name}_host>)
  target_link_libraries(${name}_opbuild PRIVATE npufa_sim)

  add_custom_command(
    OUTPUT ${generated}/aclnn_ops.cpp ${generated}/aclnn_ops.h ${generated}/op_defs.json
    COMMAND ${name}_opbuild ${generated}
    DEPENDS ${name}_opbuild)

  if(ARG_DEFINITIONS)
    add_custom_command(
      OUTPUT ${ARG_DEFINITIONS}
      COMMAND ${CMAKE_COMMAND} -E copy ${generated}/op_defs.json ${ARG_DEFINITIONS}
      DEPENDS ${generated}/op_defs.json)
  endif()

  add_library(${name} SHARED ${ARG_DEFINITIONS} ${generated}/aclnn_ops.cpp $<TARGET_OBJECTS:${name}_host>)
  target_include_directories(${name} PRIVATE ${generated})
  target_link_libraries(${name} PRIVATE npufa_sim)
  set_target_properties(${name} ${name}_opbuild PROPERTIES CXX_STANDARD 20)
  set_target_properties(${name} PROPERTIES
    OUTPUT_NAME cust_opapi
    LIBRARY_OUTPUT_DIRECTORY ${ARG_ROOT}/op_api/lib)
  file(RELATIVE_PATH to_library ${ARG_ROOT}/op_api/lib ${NPUFA_LIBRARY_DIR})
  set_target_properties(${name} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/${to_library}")
endfunction()

# npufa_sim_kernel(<name> ROOT <directory> SOURCE <file> [INCLUDE <directories>])
# Compiles a kernel as cube and as vector program to <directory>/kernels/<name>.aic.so and .aiv.so. The target is
# <name>_kernel; <name> is the operator's type in snake case, and the kernel function.
function(npufa_sim_kernel name)
  cmake_parse_arguments(ARG "" "ROOT;SOURCE" "INCLUDE" ${ARGN})
  file(RELATIVE_PATH to_library ${ARG_ROOT}/kernels ${NPUFA_LIBRARY_DIR})
  add_custom_target(${name}_kernel ALL)
  foreach(program aic aiv)
    set(target ${name}_${program})
    add_library(${target} SHARED ${ARG_SOURCE})
    target_compile_definitions(${target} PRIVATE
      $<IF:$<STREQUAL:${program},aic>,__DAV_C220_CUBE__,__DAV_C220_VEC__>)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/sim/ascendc ${ARG_INCLUDE})
    target_link_libraries(${target} PRIVATE npufa_sim)
    # Kernels take every argument of their operator, used or not.
    target_compile_options(${target} PRIVATE
      ${NPUFA_SIM_ARCH_FLAGS} ${NPUFA_SIM_KERNEL_FLAGS} -Wno-unused-parameter)
    set_target_properties(${target} PROPERTIES
      PREFIX ""
      OUTPUT_NAME ${name}
      SUFFIX .${program}.so
      LIBRARY_OUTPUT_DIRECTORY ${ARG_ROOT}/kernels
      BUILD_WITH_INSTALL_RPATH ON
      INSTALL_RPATH "$ORIGIN/${to_library}")
    add_dependencies(${name}_kernel ${target})
  endforeach()
endfunction()
