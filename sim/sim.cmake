# The simulator: one library without torch or Python, and copies of the headers that kernels are compiled against.
set(NPUFA_SIM_ARCH_FLAGS -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  list(APPEND NPUFA_SIM_ARCH_FLAGS -march=x86-64-v3)
  set(NPUFA_SIM_KERNEL_FLAGS)
else()
  set(NPUFA_SIM_KERNEL_FLAGS -fsanitize=integer-divide-by-zero)  # does not trap: sim/chip/host_faults.cpp
endif()

set(NPUFA_CHIPS_SOURCE ${CMAKE_CURRENT_BINARY_DIR}/chips.cpp)
add_custom_command(
  OUTPUT ${NPUFA_CHIPS_SOURCE}
  COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/sim/chip/embed_chips.py
    ${PROJECT_SOURCE_DIR}/sim/chip/chips.json ${NPUFA_CHIPS_SOURCE}
  DEPENDS sim/chip/embed_chips.py sim/chip/chips.json)

file(GLOB NPUFA_SIM_SOURCES CONFIGURE_DEPENDS sim/chip/*.cpp sim/ascendc/*.cpp sim/cann/*.cpp sim/hccl/*.cpp sim/torch/*.cpp)
list(FILTER NPUFA_SIM_SOURCES EXCLUDE REGEX "/sim/cann/opbuild.*\\.cpp$")
add_library(npufa_sim SHARED ${NPUFA_SIM_SOURCES} ${NPUFA_CHIPS_SOURCE})
set_target_properties(npufa_sim PROPERTIES
  CXX_STANDARD 20
  CXX_VISIBILITY_PRESET default
  VISIBILITY_INLINES_HIDDEN OFF
  LIBRARY_OUTPUT_DIRECTORY ${NPUFA_LIBRARY_DIR})
target_include_directories(npufa_sim PUBLIC sim sim/cann/include PRIVATE sim/chip)
# Calls within the library stay within it: kernels only use its functions, nobody replaces them.
target_compile_options(npufa_sim PRIVATE -O3 -fno-semantic-interposition ${NPUFA_SIM_ARCH_FLAGS})
target_link_options(npufa_sim PRIVATE -Wl,-Bsymbolic-functions)
find_package(Threads REQUIRED)
target_link_libraries(npufa_sim PRIVATE Threads::Threads ${CMAKE_DL_LIBS})

# Headers beside the library, so that an installed package can compile kernels too.
add_custom_target(npufa_sim_headers ALL
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/sim/ascendc
    ${NPUFA_LIBRARY_DIR}/include/ascendc
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/sim/cann/include
    ${NPUFA_LIBRARY_DIR}/include/cann
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/sim/chip ${NPUFA_LIBRARY_DIR}/include/chip)
