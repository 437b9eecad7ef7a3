#!/usr/bin/env bash
# Builds the custom operator package (.run) with the CMake functions of a CANN toolkit:
#   package_cann.sh [--soc ascend910b|ascend910_93]...
# ASCEND_HOME_PATH names the toolkit (its set_env.sh sets it). The package is left in build/cann.
set -euo pipefail

die() { printf 'package: %s\n' "$*" >&2; exit 1; }

socs=()
while [ $# -gt 0 ]; do
  case "$1" in
    --soc)
      case "${2-}" in
        ascend910b | ascend910_93) socs+=("$2") ;;
        *) die "--soc is ascend910b or ascend910_93, got '${2-}'" ;;
      esac
      shift 2
      ;;
    *) die "unknown argument: $1; usage: package [--soc ascend910b|ascend910_93]..." ;;
  esac
done
[ ${#socs[@]} -gt 0 ] || socs=(ascend910b)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

toolkit=${ASCEND_HOME_PATH-}
[ -n "$toolkit" ] || die "ASCEND_HOME_PATH is not set: the package is built on a host with a CANN toolkit, after \
'source <toolkit>/set_env.sh'. Its headers alone are enough for ./build.sh check --cann-include DIR"
[ -d "$toolkit" ] || die "ASCEND_HOME_PATH is $toolkit, which is no directory"

in_toolkit() { find -L "$toolkit" -maxdepth 8 -name "$1" -print -quit 2>/dev/null || true; }

missing=()
compiler=$(in_toolkit bisheng)
[ -n "$compiler" ] || missing+=("the compiler bisheng")
[ -n "$(in_toolkit op_build)" ] || missing+=("the generator op_build (tools/opbuild)")
config=$(in_toolkit ASCConfig.cmake)
[ -n "$config" ] || missing+=("the CMake package ASC (ASCConfig.cmake), which has npu_op_package; CANN 8.5 has it")
command -v cmake >/dev/null || missing+=("cmake 3.16 or newer (on the host)")
command -v python3 >/dev/null || missing+=("python3 (on the host)")
if [ ${#missing[@]} -gt 0 ]; then
  printf 'package: not found in %s:\n' "$toolkit" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi

export PATH="$(dirname "$compiler"):$PATH" ASCEND_CANN_PACKAGE_PATH="$toolkit"
cmake -S cann -B build/cann -DASC_DIR="$(dirname "$config")" -DASCEND_CANN_PACKAGE_PATH="$toolkit" \
  -DNPUFA_SOCS="$(IFS=';'; printf '%s' "${socs[*]}")"
cmake --build build/cann --target binary package -j"$(nproc)"
package=$(find build/cann -maxdepth 2 -name '*.run' -print -quit)
[ -n "$package" ] || die "the build ended without a .run file in build/cann"
printf 'package: %s; install it with bash, then: python -m npufa doctor --require npu\n' "$package"
