#!/bin/sh
# The rules of the house that a text search can check; prints each breach as file:line and fails.
# Usage: check_rooms.sh INCLUDE
# - a room includes only the rooms below it;
# - no header opens namespace spiq by hand (core/abi.hpp does it for all);
# - xsimd and intrinsics stay in simd/, Eigen out of core, simd, kernel, neuron and exec;
# - streams only in io/ and report/, no <ranges> anywhere, no `throw` in the rooms that compile without exceptions.
root=$1
find "$root/spiq" -name '*.hpp' | sort | while read -r file; do
  awk -v file="${file#"$root"/}" '
    function breach(text) { printf "%s:%d: %s\n", file, FNR, text }
    BEGIN {
      allowed["core"] = "core"
      allowed["simd"] = "core simd"
      allowed["kernel"] = "core simd kernel"
      allowed["sparse"] = allowed["crossbar"] = allowed["neuron"] = allowed["kernel"]
      allowed["sparse"] = allowed["sparse"] " sparse"
      allowed["crossbar"] = allowed["crossbar"] " crossbar"
      allowed["neuron"] = allowed["neuron"] " neuron"
      allowed["nn"] = "core simd kernel neuron nn"
      allowed["energy"] = allowed["nn"] " energy"
      allowed["plasticity"] = allowed["nn"] " plasticity"
      allowed["exec"] = "core simd kernel neuron exec"
      allowed["lower"] = "core simd kernel sparse crossbar neuron nn exec lower"
      allowed["io"] = "core nn exec io"
      allowed["report"] = "core simd neuron nn exec report"
      parts = split(file, part, "/")
      room = parts > 2 ? part[2] : ""
      if (room != "" && !(room in allowed)) { FNR = 1; breach("unknown room " room) }
      strict = " core simd kernel neuron exec "
      inside_strict = index(strict, " " room " ") > 0
    }
    { code = $0; sub(/\/\/.*/, "", code) }
    code ~ /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
      target = code
      sub(/^[^<"]*[<"]/, "", target)
      sub(/[>"].*/, "", target)
      if (code ~ /"/) breach("include by <spiq/...>, not by a relative path")
      if (target ~ /^spiq\//) {
        split(target, step, "/")
        if (room != "" && (target == "spiq/spiq.hpp" || (target != "spiq/version.hpp" && index(" " allowed[room] " ", " " step[2] " ") == 0)))
          breach(room " must not include " target)
      }
      if (target ~ /^xsimd\// && room != "simd") breach("xsimd outside simd/")
      if (target ~ /intrin\.h$/ && room != "simd") breach("intrinsics outside simd/")
      if (target ~ /^(Eigen|unsupported)\// && inside_strict) breach("Eigen in " room "/")
      if (target == "ranges") breach("<ranges> does not compile everywhere and costs time")
      if (target ~ /^(iostream|ostream|istream|sstream|fstream|iomanip)$/ && room != "io" && room != "report") breach("streams outside io/ and report/")
      next
    }
    code ~ /(^|[^A-Za-z0-9_])namespace[ \t]+spiq([^A-Za-z0-9_]|$)/ && file != "spiq/core/abi.hpp" { breach("namespace spiq opened by hand") }
    room != "simd" && code ~ /xsimd::|(^|[^A-Za-z0-9_])_mm[0-9]*_[a-z]|__m(128|256|512)/ { breach("xsimd or intrinsics outside simd/") }
    inside_strict && code ~ /(^|[^A-Za-z0-9_"])throw[ \t;(]/ && file != "spiq/core/error.hpp" && file != "spiq/core/storage.hpp" { breach("throw in " room "/: use SPIQ_THROW") }
    code ~ /TODO|FIXME|XXX/ || $0 ~ /(TODO|FIXME|XXX)/ { breach("unfinished mark") }
    FNR == 1 && $0 !~ /^\/\/\/ @file/ { breach("a header starts with /// @file") }
    END { if (FNR > 400) breach("longer than 400 lines") }
  ' "$file"
done > "${TMPDIR:-/tmp}/spiq_rooms.$$"
cat "${TMPDIR:-/tmp}/spiq_rooms.$$"
count=$(wc -l < "${TMPDIR:-/tmp}/spiq_rooms.$$")
rm -f "${TMPDIR:-/tmp}/spiq_rooms.$$"
headers=$(find "$root/spiq" -name '*.hpp' | wc -l)
echo "$headers headers, $count breaches"
[ "$count" -eq 0 ] && [ "$headers" -gt 0 ]
