#!/usr/bin/env bash
# Builds the custom operator package (.run) with what a CANN toolkit has for it:
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
chips=$(IFS=';'; printf '%s' "${socs[*]}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

toolkit=${ASCEND_HOME_PATH-}
[ -n "$toolkit" ] || die "ASCEND_HOME_PATH is not set: the package is built on a host with a CANN toolkit, after \
'source <toolkit>/set_env.sh'. Its headers alone are enough for ./build.sh check --cann-include DIR"
[ -d "$toolkit" ] || die "ASCEND_HOME_PATH is $toolkit, which is no directory"

in_toolkit() { find -L "$toolkit" -maxdepth 8 -path "*/$1" -print -quit 2>/dev/null || true; }

# CANN 8.5 brings a CMake package; older releases have a project template only, which 8.5 may still have.
config=$(in_toolkit asc-config.cmake)
[ -n "$config" ] || config=$(in_toolkit ASCConfig.cmake)
template=$(in_toolkit op_project_templates/ascendc/customize/CMakeLists.txt)
template=${template%/CMakeLists.txt}
compiler=$(in_toolkit bisheng)

missing=()
[ -n "$compiler" ] || missing+=("the compiler bisheng")
[ -n "$(in_toolkit opbuild/op_build)" ] || missing+=("the generator op_build (tools/opbuild)")
if [ -n "$config" ]; then
  flow="CMake package ASC, npu_op_package"
  builder=asc_opc
elif [ -n "$template" ]; then
  flow="project template, tools/op_project_templates"
  builder=opc
  for file in cmake/func.cmake cmake/util/makeself/makeself.sh op_host/CMakeLists.txt op_kernel/CMakeLists.txt \
    scripts/install.sh; do
    [ -e "$template/$file" ] || missing+=("$file in the project template")
  done
  command -v make >/dev/null || missing+=("make (on the host)")
else
  flow=none
  builder=opc
  missing+=("a way to build packages: the CMake package ASC (asc-config.cmake, CANN 8.5) or the project template \
(op_project_templates/ascendc/customize, CANN 8.0 to 8.3)")
fi
builder_path=$(in_toolkit "bin/$builder")
[ -n "$builder_path" ] || missing+=("the builder of kernels $builder (bin)")
command -v cmake >/dev/null || missing+=("cmake 3.16 or newer (on the host)")
command -v python3 >/dev/null || missing+=("python3 (on the host)")
version=$(sed -n 's/^[Vv]ersion\(_dir\)\?=//p' "$toolkit"/*/ascend_toolkit_install.info "$toolkit"/*/version.info \
  2>/dev/null | head -n 1 || true)
printf 'package: CANN %s in %s; flow: %s; chips: %s\n' "${version:-of unknown version}" "$toolkit" "$flow" "$chips"
if [ ${#missing[@]} -gt 0 ]; then
  printf 'package: not found in %s:\n' "$toolkit" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi

# The template's files around our sources. It compiles the sources that lie in op_host itself, and as C++11.
template_project() {
  local project=$1 source
  mkdir -p "$project"
  cp -rL "$template/." "$project"
  chmod -R u+w "$project"
  cp -r op_kernel/. "$project/op_kernel"
  for source in op_host/*/*.cpp; do
    printf '#include "%s"\n' "$PWD/$source" >"$project/op_host/$(basename "$source")"
  done
  sed -i 's/-std=c++11/-std=c++17/g' "$project"/cmake/*.cmake
  printf '\ninclude(%s)\n' "$PWD/cann/template.cmake" >>"$project/op_host/CMakeLists.txt"
}

PATH="$(dirname "$compiler"):$(dirname "$builder_path"):$PATH"
export PATH ASCEND_CANN_PACKAGE_PATH="$toolkit"
rm -rf build/cann
if [ -n "$config" ]; then
  cmake -S cann -B build/cann -DASC_DIR="$(dirname "$config")" -DASCEND_CANN_PACKAGE_PATH="$toolkit" \
    -DNPUFA_SOCS="$chips"
else
  template_project build/cann/project
  cmake -S build/cann/project -B build/cann -G "Unix Makefiles" -DASCEND_CANN_PACKAGE_PATH="$toolkit" \
    -DASCEND_COMPUTE_UNIT="$chips" -Dvendor_name=npufa -DENABLE_SOURCE_PACKAGE=True -DENABLE_BINARY_PACKAGE=True \
    -DASCEND_PYTHON_EXECUTABLE=python3 -DCMAKE_INSTALL_PREFIX="$PWD/build/cann"
fi
cmake --build build/cann --target binary -j"$(nproc)"
cmake --build build/cann --target package -j"$(nproc)"
package=$(find build/cann -maxdepth 2 -name '*.run' -print -quit)
[ -n "$package" ] || die "the build ended without a .run file in build/cann"
printf 'package: %s; install it with bash, then: python -m npufa doctor --require npu\n' "$package"
