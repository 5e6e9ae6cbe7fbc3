# shellcheck shell=bash
# The long build: RocksDB's 344 files of C++, and what makes waiting for them bearable.
# Sourced by ./x.

# The largest of RocksDB's files takes 0.75 GiB of a compiler's memory.
JOB_MEMORY_KIB=$((1024 * 1024))
BUILD_ROOM_KIB=$((4 * 1024 * 1024))
PROGRESS_EVERY_S=10
# Time to go is told from the pace of one in so many files, after as many of which nothing is told.
PACE_SHARE=20
# 32 minutes of CPU time on two cores; README says it too.
FIRST_BUILD_MIN=17

# Fails before a build that cannot end, says how long the first one takes, and has it use no more memory than there is.
build_room() {
  local free jobs
  [[ -z $(compiled_rocksdb) ]] || return 0
  mkdir -p "$CARGO_TARGET_DIR"
  free=$(df -Pk "$CARGO_TARGET_DIR" | awk 'NR == 2 { print $4 }')
  [[ $free -ge $BUILD_ROOM_KIB ]] ||
    fail "the first build needs 4 GiB at $CARGO_TARGET_DIR, $((free / 1024)) MiB are free: CARGO_TARGET_DIR names another place"
  jobs=$(build_jobs)
  export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-$jobs}
  say "first build: RocksDB, librdkafka and OpenSSL are compiled, some $FIRST_BUILD_MIN minutes on two cores ($CARGO_BUILD_JOBS jobs)"
}

# As many compilers as there are cores, and as memory has room for.
build_jobs() {
  local cores available
  cores=$(getconf _NPROCESSORS_ONLN)
  available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo 2>/dev/null) || true
  available=$((${available:-$((cores * JOB_MEMORY_KIB))} / JOB_MEMORY_KIB))
  [[ $available -gt 0 ]] || available=1
  echo $((available < cores ? available : cores))
}

compiled_rocksdb() { compgen -G "$CARGO_TARGET_DIR/release/build/librocksdb-sys-*/out/librocksdb.a" || true; }

# native <command...>: runs what may compile RocksDB, and says how far that is. A compiler's long silence looks like a
# build that hangs.
native() {
  local watcher="" status=0
  if [[ -z $(compiled_rocksdb) ]]; then
    rocksdb_progress >&2 &
    watcher=$!
  fi
  "$@" || status=$?
  if [[ -n $watcher ]]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
  fi
  return $status
}

rocksdb_progress() {
  local of objects before=0 mark=0 marked_s=0
  of=$(rocksdb_sources)
  while [[ -z $(compiled_rocksdb) ]]; do
    sleep "$PROGRESS_EVERY_S" >/dev/null 2>&1
    objects=$(find "$CARGO_TARGET_DIR/release/build" -path '*/librocksdb-sys-*/out/*.o' 2>/dev/null | wc -l)
    [[ $objects -gt $before ]] || continue
    before=$objects
    # The first ones share the cores with all other crates: how long they take says nothing about the rest.
    if [[ $mark -eq 0 && $((PACE_SHARE * objects)) -ge $of ]]; then mark=$objects marked_s=$SECONDS; fi
    progress_line "$objects" "$of" $((mark > 0 ? objects - mark : 0)) $((SECONDS - marked_s))
  done
}

# progress_line <objects> <objects in all, 0 if unknown> <objects by which the pace is known> <seconds that these took>
progress_line() {
  local text="RocksDB: $1 files compiled" to_go=""
  [[ $3 -eq 0 || $((PACE_SHARE * $3)) -lt $2 ]] || to_go=", about $((($4 * ($2 - $1) / $3 + 59) / 60)) min to go"
  [[ $2 -lt $1 ]] || text="RocksDB: $1 of $2 files compiled, $((100 * $1 / $2)) %$to_go"
  # Over the bar that cargo draws on a terminal.
  printf '%s     %s\n' "$([[ ! -t 2 ]] || printf '\r\033[K')" "$text"
}

# Files of RocksDB that Cargo.lock's version compiles, 0 where its sources are not in the usual place.
rocksdb_sources() {
  local version sources
  version=$(awk '/^name = "librocksdb-sys"/ { getline; gsub(/[^0-9a-z.+]|version/, ""); print }' Cargo.lock)
  sources=$(compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/src/*/librocksdb-sys-$version/rocksdb_lib_sources.txt" | head -n 1) || true
  if [[ -n $sources ]]; then grep -c '\.cc' "$sources"; else echo 0; fi
}
