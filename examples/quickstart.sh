#!/bin/sh
# Installs what is missing, builds the main example and runs it on images drawn by the program itself.
# Options are passed on to the example; `--help` explains them.
set -eu
cd "$(dirname "$0")/.."
. cmake/packages.sh
need g++ cmake ninja-build libxsimd-dev libeigen3-dev zlib1g-dev libcli11-dev nlohmann-json3-dev
build=build/release
# shellcheck disable=SC2046
cmake -S . -B "$build" $(generator_options "$build") -DSPIQ_EXAMPLES=ON -DSPIQ_TESTS=OFF -DSPIQ_BENCH=OFF > /dev/null
cmake --build "$build" -j "$(nproc)" --target ann_to_snn
mkdir -p build/quickstart
# On a machine that others use too, spinning threads would wait for each other most of the time.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
exec "$build/examples/ann_to_snn" --dataset synthetic --out build/quickstart "$@"
