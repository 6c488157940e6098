#!/bin/sh
# Builds and runs the benchmarks: bench/run.sh [FILTER] [--json FILE] [--list] ...; FILTER is a regular expression on
# kernel/implementation/shape. SPIQ_ARCH=v3 in the environment builds for another instruction set, in a folder of its own.
set -eu
here=$(pwd)
cd "$(dirname "$0")/.."
. cmake/packages.sh
need g++ cmake ninja-build libxsimd-dev libeigen3-dev zlib1g-dev
# Peers are optional: without them their rows are left out.
need libopenblas-dev libdnnl-dev libxnnpack-dev libpthreadpool-dev || echo "peers could not be installed; their rows are left out"
arch=${SPIQ_ARCH:-native}
if [ "$arch" = native ]; then build=build/release; else build=build/bench-$arch; fi
# Only the configuration that is missing: tests and examples of an existing build folder stay as they are.
if [ -f "$build/CMakeCache.txt" ]; then others=; else others="-DSPIQ_TESTS=OFF -DSPIQ_EXAMPLES=OFF"; fi
# shellcheck disable=SC2046,SC2086
cmake -S . -B "$build" $(generator_options "$build") $others -DSPIQ_BENCH=ON -DSPIQ_ARCH="$arch" > /dev/null
cmake --build "$build" -j "$(nproc)" --target spiq_bench >&2
program=$(pwd)/$build/bench/spiq_bench
cd "$here"
exec "$program" "$@"
