#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'END'
usage: ./build.sh <command> [arguments]

  quickstart      build, then run examples/quickstart.py
  build           compile the operators and install npufa into .venv in development mode
  test [args]     build with the test modules, then run pytest; args go to pytest (-m slow, -k decode, a path);
                  without any, the quick half of lint goes first, as CI has it
  test --device npu [args]
                  the same for the operators' tests on an NPU: a real chip where CANN is installed, else the simulated one
  bench [args]    build, then print the table of benchmarks/attention.py; args go to it
  check --cann-include DIR [--cann-include DIR]...
                  compile op_host and op_kernel, syntax only, against the headers of a CANN toolkit or of asc-devkit's
                  sources in DIR; headers that it does not have are taken from the next DIR
  wheels [VERSION]...
                  build a wheel for each of these versions of torch, or for every one of tier 1, into dist
  matrix [--torch VERSION]... [--arch aarch64] [--keep] [--failed] [--note TEXT] [pytest's arguments]
                  build and test with other versions of torch and torch_npu, one after the other, each in a copy of the
                  tree and an environment of its own in build/matrix, which stays with --keep; --failed runs once more
                  what failed; --note goes into the table; --arch aarch64: cross-built (g++-aarch64-linux-gnu), a slice
                  of the tests under qemu-user; keeps the table in docs/versions.md
  docs            build the site of docs/ into build/site, links checked
  lint            check C++ (clang-format), Python (ruff), its types (mypy) and shell scripts (shellcheck)
  format          lay out C++ (clang-format) and mend what ruff can mend: the order of imports, old spellings
  release [--dry-run] [--without STEP]... [STEP]...
                  the checklist of a release: clean tree, changelog, lint, tests, docs, wheels, source archive, operator
                  package; stops at the first failure and before publishing; release --help lists the steps
  package [--soc ascend910b|ascend910_93]...
                  build the custom operator package (.run) on a host with a CANN toolkit (ASCEND_HOME_PATH)
  clean           remove everything that was compiled; .venv stays
  --help          this text

Needs Python 3.11 to 3.14 with venv and g++ 11 or newer; test and the quickest calls need Python's headers, too. Everything
else is installed into .venv on the first run. Paths in arguments are relative to the repository.

Environment: NPUFA_TORCH (another torch of docs/versions.md, for a new .venv), PYTHON (interpreter for a new .venv),
CXX (default g++), CMAKE_BUILD_PARALLEL_LEVEL (default: all cores).
END
}

say() { printf '== %s\n' "$*"; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

# Runs the rest only when the content of the files differs from the last success: once <name> <files> -- <command>
once() {
  local stamp=".venv/npufa-$1.stamp" files=() sum
  shift
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  sum=$(sha256sum "${files[@]}")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
    "$@"
    printf '%s\n' "$sum" >"$stamp"
  fi
}

find_python() {
  local candidate lowest=11
  [ -z "${NPUFA_TORCH:-}" ] || lowest=10
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c "import sys; sys.exit(not (3, $lowest) <= sys.version_info[:2] <= (3, 14))" 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "no Python 3.$lowest to 3.14, for which torch and the tools have wheels; \
found $("${PYTHON:-python3}" --version 2>/dev/null || printf 'no %s' "${PYTHON:-python3}"): install one or set PYTHON"
}

pip_install() {
  say "pip install $*"
  .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" ||
    die "pip install failed. torch has wheels for Linux with glibc 2.28 or newer on x86_64 and aarch64; \
otherwise check the network and pip's configuration"
}

compiler() {
  local version
  export CXX="${CXX:-g++}" CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
  version=$($CXX -dumpversion 2>/dev/null) || die "no C++ compiler: $CXX not found (Debian, Ubuntu: apt install g++)"
  [ "${version%%.*}" -ge 11 ] || die "$CXX is version $version; torch's headers need g++ 11 or newer"
}

environment() {
  local python
  compiler
  if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(find_python)
    say "creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || die "$python -m venv failed (Debian, Ubuntu: apt install python3-venv)"
  fi
  if [ -n "${NPUFA_TORCH:-}" ]; then
    once "torch-$NPUFA_TORCH" requirements-*.txt scripts/install_row.py python/npufa/_version.py -- install_row
  else
    once dev requirements-dev.txt -- pip_install -r requirements-dev.txt
  fi
  PATH="$PWD/.venv/bin:$PATH"
}

install_row() { .venv/bin/python scripts/install_row.py "$NPUFA_TORCH" requirements-*.txt || die "pip install failed"; }

example_requirements() {
  if [ -z "${NPUFA_TORCH:-}" ] && [ -f requirements-examples.txt ]; then
    once examples requirements-examples.txt -- pip_install -r requirements-examples.txt
  fi
}

# In development mode; the wheel brings npufa_autoload.pth itself, see python/npufa/_autoload.py.
install_package() {
  pip_install --no-build-isolation --no-deps -e .
  cp python/npufa_autoload.pth "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
}

# compile <cmake options> -- <targets>
compile() {
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  say "compiling with $CXX, $CMAKE_BUILD_PARALLEL_LEVEL jobs"
  # Locked: two builds in one directory at a time spoil each other.
  flock build.sh cmake -S . -B build -G Ninja --log-level=NOTICE -DPython_EXECUTABLE="$PWD/.venv/bin/python" \
    ${options[@]+"${options[@]}"} || die "cmake failed"
  flock build.sh cmake --build build --target "$@" || die "compilation failed"
  once package pyproject.toml setup.py python/npufa/_version.py python/npufa_autoload.pth -- install_package
}

test_modules() {
  local include
  include=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')
  [ -e "$include/Python.h" ] || die "the test modules need $include/Python.h (Debian, Ubuntu: apt install python3-dev)"
  compile -DNPUFA_BUILD_TESTS=ON -- all all_verify_interface_header_sets
}

has_path() {
  local argument
  for argument; do [ ! -e "${argument%%::*}" ] || return 0; done
  return 1
}

cpp_sources() { find op_kernel op_host framework sim cann tests benchmarks -name '*.h' -print0 -o -name '*.cpp' -print0; }

lint_tools() { once lint requirements-lint.txt -- pip_install -r requirements-lint.txt; }

# What takes seconds; the types take a minute and are left to lint.
lint_sources() {
  say "clang-format, ruff, shellcheck"
  cpp_sources | xargs -0 clang-format --dry-run --Werror || die "C++ is laid out otherwise: ./build.sh format"
  ruff check --quiet . || die "ruff has found what is above; ./build.sh format mends what it can"
  shellcheck build.sh .ci/run scripts/*.sh || die "shellcheck has found what is above"
}

no_arguments() { [ "$2" -eq 0 ] || die "$1 takes no arguments; see ./build.sh --help"; }

cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null
command="${1:---help}"
[ $# -eq 0 ] || shift
case "$command" in
  quickstart)
    no_arguments quickstart $#
    environment
    example_requirements
    compile -- npufa
    say "examples/quickstart.py"
    exec python examples/quickstart.py
    ;;
  build)
    no_arguments build $#
    environment
    compile -- npufa
    say "done: .venv/bin/python -m npufa info"
    ;;
  test)
    device=""
    if [ "${1-}" = --device ]; then
      [ "${2-}" = npu ] || die "--device is npu, got '${2-}'; without it tests choose for themselves"
      device=npu
      shift 2
    fi
    environment
    example_requirements
    if [ $# -eq 0 ] && [ -z "$device" ] && [ -z "${NPUFA_TORCH:-}" ]; then
      lint_tools
      lint_sources
    fi
    test_modules
    if [ -n "$device" ]; then
      export PYTHONPATH="$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
      has_path "$@" || set -- tests/ops tests/sim/ops "$@"
      set -- -p cases.all_on_npu "$@"
    fi
    say "pytest $*"
    exec python -m pytest "$@"
    ;;
  bench)
    environment
    compile -- npufa
    exec python benchmarks/attention.py "$@"
    ;;
  check)
    directories=()
    while [ $# -ge 2 ] && [ "$1" = --cann-include ]; do directories+=("$2"); shift 2; done
    [ $# -eq 0 ] && [ ${#directories[@]} -gt 0 ] ||
      die "usage: ./build.sh check --cann-include DIR [--cann-include DIR]..."
    exec "${PYTHON:-python3}" scripts/check_cann_headers.py "${directories[@]}"
    ;;
  wheels | matrix | release)
    exec "${PYTHON:-python3}" "scripts/$command.py" "$@"
    ;;
  docs)
    no_arguments docs $#
    environment
    compile -- npufa
    once docs requirements-docs.txt -- pip_install -r requirements-docs.txt
    python benchmarks/plots.py
    python -m sphinx -q -W --keep-going -b html docs build/site
    say "build/site/index.html"
    ;;
  lint | format)
    no_arguments "$command" $#
    environment
    lint_tools
    if [ "$command" = format ]; then
      cpp_sources | xargs -0 clang-format -i
      exec ruff check --fix-only .
    fi
    lint_sources
    exec mypy
    ;;
  package)
    exec scripts/package_cann.sh "$@"
    ;;
  clean)
    no_arguments clean $#
    rm -rf build python/npufa/lib python/npufa.egg-info
    say "removed build, python/npufa/lib"
    ;;
  -h | --help | help)
    usage
    ;;
  *)
    usage >&2
    die "unknown command: $command"
    ;;
esac
