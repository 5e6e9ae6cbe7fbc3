# shellcheck shell=bash
# Known bugs brought back, in core (the simulator must catch them) and in what stands around it (a test must).
# Sourced by ./x.

canaries() {
  local argument
  for argument in "$@"; do
    [[ $argument != --shell ]] || shell_canaries
  done
  sim canaries "$@"
}

# Patched code is built in a directory of its own, where nobody else's tests can meet it.
shell_canaries() {
  export RUST_TEST_THREADS="${RUST_TEST_THREADS:-1}"
  setup_build
  setup_kafka
  setup_network
  native cargo build --release --locked --package outrigger
  seed_canaries "$CARGO_TARGET_DIR/release" "$CARGO_TARGET_DIR/canaries/shell/target/release"
}

# seed_canaries <from> <to>: what other people's crates were compiled to; RocksDB and librdkafka take half an hour of CPU.
seed_canaries() {
  local kind
  ! cmp -s Cargo.lock "$2/seeded.lock" || return 0
  say "copying what RocksDB and librdkafka were compiled to: 2 GB"
  mkdir -p "$2"/{.fingerprint,build,deps}
  for kind in .fingerprint build deps; do
    find "$1/$kind" -mindepth 1 -maxdepth 1 ! -name '*outrigger*' \( -name 'lib*' -o ! -path '*/deps/*' \) \
      -exec cp -a --no-clobber -t "$2/$kind" {} +
  done
  cp Cargo.lock "$2/seeded.lock"
}
