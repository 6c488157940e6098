#!/bin/sh
# Runs every example for a few seconds: smoke.sh FOLDER. An example not named here is run with --help.
set -eu
folder=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for program in "$folder"/*; do
  if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
  name=$(basename "$program")
  case $name in
    ann_to_snn) set -- --quick --out "$out" --json "$out/table.json" ;;
    quake_accuracy) set -- --quick --out "$out" --json "$out/quake.json" ;;
    train_snn) set -- --quick --rule sltt --loss tet ;;
    early_exit) set -- --quick --out "$out" ;;
    neuron_zoo) set -- --out "$out/zoo.svg" ;;
    *) set -- --help ;;
  esac
  echo "$name $*"
  "$program" "$@" > "$out/log" 2>&1 || { cat "$out/log"; echo "$name failed"; exit 1; }
  tail -n 5 "$out/log"
done
