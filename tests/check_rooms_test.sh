#!/bin/sh
# The room check must see each kind of breach: a clean tree passes, a tree with one breach fails.
check=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
tree() {
  rm -rf "$work/spiq"
  mkdir -p "$work/spiq/core" "$work/spiq/simd" "$work/spiq/kernel" "$work/spiq/exec" "$work/spiq/nn"
  for room in core simd kernel exec nn; do
    printf '/// @file\n#pragma once\n' > "$work/spiq/$room/a.hpp"
  done
  printf '#include <spiq/core/a.hpp>\n' >> "$work/spiq/kernel/a.hpp"
}
tree
sh "$check" "$work" > "$work/log" || { echo "a clean tree must pass"; cat "$work/log"; failed=1; }
breach() {
  tree
  printf '%s\n' "$2" >> "$work/spiq/$1/a.hpp"
  if sh "$check" "$work" > "$work/log"; then
    echo "not seen in $1: $2"
    failed=1
  fi
}
breach core '#include <spiq/simd/a.hpp>'
breach exec '#include <spiq/nn/a.hpp>'
breach kernel '#include <spiq/spiq.hpp>'
breach kernel '#include "a.hpp"'
breach kernel '#include <immintrin.h>'
breach nn '#include <xsimd/xsimd.hpp>'
breach nn 'inline xsimd::batch<float> f();'
breach kernel 'auto x = _mm512_setzero_ps();'
breach core 'namespace spiq {'
breach kernel '#include <Eigen/Core>'
breach nn '#include <iostream>'
breach nn '#include <ranges>'
breach exec 'throw 1;'
echo "room check tested"
exit $failed
