# Ends op_host/CMakeLists.txt of the project template that toolkits before CANN 8.5 have, see scripts/package_cann.sh:
# the package states its version.
get_filename_component(NPUFA_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
include(${NPUFA_ROOT}/cann/version.cmake)
npufa_package_version(NPUFA_PACKAGE_VERSION ${NPUFA_ROOT})
target_sources(cust_opapi PRIVATE ${NPUFA_ROOT}/cann/version.cpp)
target_compile_definitions(cust_opapi PRIVATE NPUFA_PACKAGE_VERSION="${NPUFA_PACKAGE_VERSION}")
