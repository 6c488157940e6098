#!/bin/sh
# The first program of the README is examples/first.cpp, letter by letter: check_readme.sh README.md examples/first.cpp
set -eu
program=$(mktemp)
trap 'rm -f "$program"' EXIT
awk '/^```cpp$/ && !done { inside = 1; next } /^```$/ { if (inside) done = 1; inside = 0 } inside' "$1" > "$program"
diff "$program" "$2"
