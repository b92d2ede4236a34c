#!/usr/bin/env bash
# Builds everything and runs every test; from a fresh clone on Debian or Ubuntu nothing else is
# needed.
#
#   tests/run.sh [NAME...]     NAME: only these tests, as `meson test --list` prints them
#
# TESSERA_BUILD  the build folder (build/)
# TESSERA_JOBS   compilers at a time (2)
# CI=true        a test that cannot run here counts as failed
#
# The last line is `N passed, M failed`; the status is 0 only if nothing failed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=../.ci/packages.sh
. .ci/packages.sh
# Listed here and found missing without apt or root: the list is printed and nothing is run.
need_packages g++ clang libomp-dev clang-format meson ninja-build pkg-config python3 libdnnl-dev \
  libopenmpi-dev openmpi-bin doctest-dev nlohmann-json3-dev iproute2 procps util-linux || {
  echo "0 passed, 1 failed"
  exit 1
}

export TESSERA_BUILD=${TESSERA_BUILD:-build} TESSERA_JOBS=${TESSERA_JOBS:-2}
export PYTHONDONTWRITEBYTECODE=1 CXX=${CXX:-g++}
log=$TESSERA_BUILD/compile.log
mkdir -p "$TESSERA_BUILD"

# Configured every time: new tests are found, whether the folder is old or new.
again=()
if [ -f "$TESSERA_BUILD/build.ninja" ]; then again=(--reconfigure); fi
meson setup "${again[@]}" "$TESSERA_BUILD" >"$TESSERA_BUILD/configure.log" 2>&1 || {
  tail -n 20 "$TESSERA_BUILD/configure.log"
  echo "meson could not configure $TESSERA_BUILD; its log: $TESSERA_BUILD/configure.log"
  echo "0 passed, 1 failed"
  exit 1
}

started=$SECONDS
ninja -C "$TESSERA_BUILD" -k 0 -j "$TESSERA_JOBS" >"$log" 2>&1 ||
  grep -vE '^\[[0-9]+/' "$log" | head -n 200
echo "built in $((SECONDS - started)) s"

# What did not build is taken away first, so that no old program passes in its place.
python3 tests/summary.py stale "$log" "$TESSERA_BUILD"
rm -f "$TESSERA_BUILD/meson-logs/testlog.json"
meson test -C "$TESSERA_BUILD" --no-rebuild --num-processes 2 --print-errorlogs "$@"
python3 tests/summary.py report "$log" "$TESSERA_BUILD"
