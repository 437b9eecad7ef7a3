# Cross build for aarch64 with Debian's compiler (g++-aarch64-linux-gnu); programs of the build run under qemu.
# NPUFA_SYSROOT, in the environment, is a folder with the packages of libpython3-dev for arm64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-L;$ENV{NPUFA_SYSROOT})
# The compiler's own headers first: of the sysroot's only those of Python are wanted.
set(CMAKE_CXX_FLAGS_INIT "-idirafter $ENV{NPUFA_SYSROOT}/usr/include")
file(GLOB Python_INCLUDE_DIR $ENV{NPUFA_SYSROOT}/usr/include/python3.*)
