#!/bin/sh
# Installs what is missing, builds and runs all tests. Options are passed on to CMake, e.g. -DSPIQ_ARCH=v3.
set -eu
cd "$(dirname "$0")/.."
. cmake/packages.sh
need g++ cmake ninja-build libxsimd-dev libeigen3-dev zlib1g-dev nlohmann-json3-dev catch2
build=build/release
jobs=$(nproc)
# shellcheck disable=SC2046
cmake -S . -B "$build" $(generator_options "$build") -DSPIQ_TESTS=ON "$@"
cmake --build "$build" -j "$jobs" --target spiq_tests
exec ctest --test-dir "$build" -j "$jobs" --output-on-failure
