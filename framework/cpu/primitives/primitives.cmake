# npufa_primitives: the tile primitives of the CPU backend, one table per instruction set (see primitives.h).
# NPUFA_CPU_LOOPS: the sources that call them. Neither needs torch; include from the top-level CMakeLists.txt.

set(NPUFA_CPU_LOOPS)
foreach(part backward backward_tasks bias_gradient cache_scales decode_worker forward forward_tasks tiles)
  list(APPEND NPUFA_CPU_LOOPS ${CMAKE_CURRENT_LIST_DIR}/../attention/${part}.cpp)
endforeach()

add_library(npufa_primitives STATIC ${CMAKE_CURRENT_LIST_DIR}/capability.cpp)
target_include_directories(npufa_primitives PUBLIC
  ${CMAKE_CURRENT_LIST_DIR}/../.. ${CMAKE_CURRENT_LIST_DIR}/../../../op_host/common)
target_compile_features(npufa_primitives PUBLIC cxx_std_17)
set_target_properties(npufa_primitives PROPERTIES
  POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

# Adds the table `isa`, compiled with the remaining arguments as flags.
function(npufa_add_primitives isa)
  set(target npufa_primitives_${isa})
  add_library(${target} OBJECT ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/primitives_impl.cpp)
  target_include_directories(${target} PRIVATE
    ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../.. ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../../../op_host/common)
  target_compile_features(${target} PRIVATE cxx_std_17)
  target_compile_definitions(${target} PRIVATE NPUFA_ISA=${isa})
  # Contraction gives fused multiply-adds; -fno-math-errno lets square roots be instructions. An -O3 here also rules
  # over a debug build: unoptimised, these headers would need minutes per test.
  # GCC 12 warns of its own AVX-512 header (GCC bug 105593).
  target_compile_options(${target} PRIVATE
    -O3 -ffp-contract=fast -fno-math-errno -Wno-maybe-uninitialized -Wno-uninitialized ${ARGN})
  set_target_properties(${target} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    # Link-time optimisation may move code between instruction sets.
    INTERPROCEDURAL_OPTIMIZATION OFF)
  target_sources(npufa_primitives PRIVATE $<TARGET_OBJECTS:${target}>)
endfunction()

npufa_add_primitives(generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(avx512_flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
  set(avx512_bf16_flags ${avx512_flags} -mavx512bf16 -mavx512vnni)
  npufa_add_primitives(avx2 -mavx2 -mfma -mf16c)
  npufa_add_primitives(avx512 ${avx512_flags})
  npufa_add_primitives(avx512_bf16 ${avx512_bf16_flags})
  npufa_add_primitives(amx ${avx512_bf16_flags} -mamx-tile -mamx-bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  # What every processor of this kind has is in "generic", NEON; Kunpeng 920 has the dot product of bytes beside it.
  npufa_add_primitives(neon_dot -march=armv8.2-a+dotprod)
  npufa_add_primitives(neon_bf16 -march=armv8.2-a+dotprod+bf16)
endif()
