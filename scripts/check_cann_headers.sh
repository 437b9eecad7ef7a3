#!/usr/bin/env bash
# Compiles every source of op_host against the headers of a CANN toolkit, syntax only:
#   check_cann_headers.sh <include directory of the toolkit>
# Toolkits spread their headers over several directories; those that op_host needs are looked for below the given
# directory and, failing that, below its parent.
set -euo pipefail

die() { printf 'check: %s\n' "$*" >&2; exit 1; }

[ $# -eq 1 ] || die "usage: check_cann_headers.sh <include directory of a CANN toolkit>"
[ -d "$1" ] || die "$1 is no directory"
toolkit=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compiler=${CXX:-g++}
command -v "$compiler" >/dev/null || die "no C++ compiler: $compiler not found"

# The directory that has the header $1, or nothing.
root_of() {
  local place found
  for place in "$toolkit" "$(dirname "$toolkit")"; do
    [ "$place" != / ] || continue
    found=$(find -L "$place" -maxdepth 7 -path "*/$1" -print -quit 2>/dev/null || true)
    if [ -n "$found" ]; then
      printf '%s\n' "${found%"/$1"}"
      return
    fi
  done
}

roots=()
for header in register/op_def_registry.h exe_graph/runtime/tiling_context.h graph/types.h base/err_msg.h \
  tiling/platform/platform_ascendc.h; do
  root=$(root_of "$header")
  [ -n "$root" ] || die "no $header below $toolkit or its parent; is it the include directory of a toolkit, \
CANN 8.1 or newer (\$ASCEND_HOME_PATH/<arch>-linux/include)?"
  case " ${roots[*]-} " in *" $root "*) ;; *) roots+=("$root") ;; esac
done
printf 'headers: %s\n' "${roots[@]}"

includes=()
for root in "${roots[@]}"; do includes+=(-isystem "$root"); done
failed=0
compiled=0
compile() {
  compiled=$((compiled + 1))
  "$compiler" -std=c++17 -fsyntax-only -Wall -Wextra -Wno-unused-parameter "${includes[@]}" "$@" ||
    failed=$((failed + 1))
}
while IFS= read -r source; do
  compile "$source"
  # Definitions are compiled again for the library of prototypes and for that of tiling.
  case "$source" in *_def.cpp) compile -DOP_PROTO_LIB "$source"; compile -DOP_TILING_LIB "$source" ;; esac
done < <(find op_host -name '*.cpp' | sort)
[ "$compiled" -gt 0 ] || die "op_host has no sources"
[ "$failed" -eq 0 ] || die "$failed of $compiled compilations failed"
printf 'check: %d compilations of op_host passed\n' "$compiled"
