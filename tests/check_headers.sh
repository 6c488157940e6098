#!/bin/sh
# Compiles every header alone (included twice), warnings being errors.
# Usage: check_headers.sh INCLUDE/spiq JOBS ROOMS COMPILER FLAGS...   (ROOMS: "*" or a list of folders)
root=$1
jobs=$2
rooms=$3
shift 3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export root work
if [ "$rooms" = "*" ]; then
  find "$root" -name '*.hpp' | sort > "$work/list"
else
  for room in $rooms; do
    if [ -d "$root/$room" ]; then find "$root/$room" -name '*.hpp'; fi
  done | sort > "$work/list"
fi
if [ ! -s "$work/list" ]; then
  echo "no headers in $root ($rooms)"
  exit 1
fi
cat > "$work/one.sh" <<'SCRIPT'
header=${1#"$root"/}
shift
name=$(printf '%s' "$header" | tr '/.' '__')
printf '#include <spiq/%s>\n#include <spiq/%s>\n' "$header" "$header" > "$work/$name.cpp"
if ! "$@" -Werror -fsyntax-only "$work/$name.cpp" > "$work/$name.log" 2>&1; then
  echo "does not compile alone: $header"
  head -n 20 "$work/$name.log"
  exit 1
fi
SCRIPT
failed=0
xargs -P "$jobs" -I HEADER sh "$work/one.sh" HEADER "$@" < "$work/list" || failed=1
echo "$(wc -l < "$work/list") headers compiled alone"
exit $failed
