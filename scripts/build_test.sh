#!/usr/bin/env bash
# shellcheck disable=SC1091 # build.sh lies beside it
# What the first build says of its progress.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./build.sh

FAILED=0

# says <text> <arguments of progress_line>
says() {
  local wanted=$1 line
  line=$(progress_line "${@:2}" 2>/dev/null)
  [[ $line == "     $wanted" ]] && return
  printf 'build_test: %s: wanted "%s", not "%s"\n' "${*:2}" "$wanted" "$line" >&2
  FAILED=1
}

says "RocksDB: 4 of 343 files compiled, 1 %" 4 343 0 700
says "RocksDB: 34 of 343 files compiled, 9 %" 34 343 16 60
says "RocksDB: 103 of 343 files compiled, 30 %, about 6 min to go" 103 343 85 110
says "RocksDB: 343 of 343 files compiled, 100 %, about 0 min to go" 343 343 325 600
says "RocksDB: 12 files compiled" 12 0 0 0
says "RocksDB: 12 files compiled" 12 0 12 9
[[ $FAILED -eq 0 ]]
