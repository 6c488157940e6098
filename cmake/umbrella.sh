#!/bin/sh
# Prints include/spiq/spiq.hpp: every header, room by room. With --check, compares it with the file that is there.
set -eu
cd "$(dirname "$0")/../include"
umbrella() {
  cat <<'TEXT'
/// @file
/// Everything. Programs that care for compile time include the rooms that they use instead.
/// Written by cmake/umbrella.sh.
#pragma once

#include <spiq/version.hpp>
TEXT
  for room in core simd kernel sparse crossbar neuron nn exec lower energy plasticity io report; do
    if [ ! -d "spiq/$room" ]; then continue; fi
    echo
    for header in "spiq/$room"/*.hpp; do echo "#include <$header>"; done
  done
}
if [ "${1:-}" = --check ]; then
  umbrella | diff spiq/spiq.hpp - && exit 0
  echo "include/spiq/spiq.hpp is not current: sh cmake/umbrella.sh > build/spiq.hpp; mv build/spiq.hpp include/spiq/"
  exit 1
fi
umbrella
