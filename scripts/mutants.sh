# shellcheck shell=bash
# cargo-mutants on the code that decides, restores, classifies and admits, in two stages: core's own tests
# are quick and judge every mutant; scenarios, regression plans and seeds judge what survives them.
# Sourced by ./x. What was caught in a file stays caught while that file stays the same: a run that was
# interrupted goes on, and after a change only that file's mutants and survivors are tried again.

# Seeds of a mutant may never end; on their own all tests take three seconds.
MUTANTS_TIMEOUT_S=40
# Some mutants allocate without end.
MUTANTS_MEMORY_KIB_MAX=$((8 * 1024 * 1024))

mutants() {
  local kept argument
  for argument in "$@"; do
    # They are built in one directory: two at the same time get each other's verdicts.
    [[ $argument != -j* && $argument != --jobs* ]] || fail "mutants are judged one at a time: leave out $argument"
  done
  setup_rust
  setup_mutants
  kept="$CARGO_TARGET_DIR/mutants"
  mkdir -p "$kept"/{core,sim}/mutants.out
  touch "$kept/files"
  # What an interrupted run left is of the files as they were then.
  keep_verdicts core
  keep_verdicts sim
  rm -f "$kept"/{core,sim}/mutants.out/{caught,timeout,unviable}.txt
  cargo mutants --list-files | xargs sha256sum >"$kept/files"
  ulimit -v "$MUTANTS_MEMORY_KIB_MAX" 2>/dev/null || true
  judge_mutants core --lib "$@"
  judge_mutants sim --test=it "$@"
  score_mutants
}

# judge_mutants <core or sim> <cargo test's argument> [cargo-mutants' arguments]
judge_mutants() {
  local judge=$1 tests=$2 status=0
  shift 2
  # cargo-mutants would play its baseline in core, whoever judges.
  cargo test --quiet --locked --package "outrigger-$judge" "$tests" || fail "tests fail without any mutant"
  verdicts "$kept"/*.{caught,timeout,unviable} >"$kept/$judge/mutants.out/previously_caught.txt"
  # One directory for both judges and all runs: dependencies are built once.
  CARGO_TARGET_DIR="$CARGO_TARGET_DIR/mutants/target" cargo mutants --iterate --output "$kept/$judge" \
    --baseline skip --timeout "$MUTANTS_TIMEOUT_S" \
    --test-package "outrigger-$judge" --cargo-arg=--locked --cargo-arg="$tests" "$@" || status=$?
  keep_verdicts "$judge"
  # 2: some survived; 3: some did not end.
  [[ $status -eq 0 || $status -eq 2 || $status -eq 3 ]] || fail "cargo-mutants ended with $status"
}

# Adds the last run's, each with the checksum of its file.
keep_verdicts() {
  local verdict
  for verdict in caught timeout unviable; do
    touch "$kept/$1.$verdict" "$kept/$1/mutants.out/$verdict.txt"
    awk 'FILENAME == ARGV[1] { sum[$2] = $1; next } { split($0, at, ":"); print sum[at[1]], $0 }' \
      "$kept/files" "$kept/$1/mutants.out/$verdict.txt" | sort -u -o "$kept/$1.$verdict" - "$kept/$1.$verdict"
  done
}

# verdicts <kept files>: the mutants in them whose file is as it was.
verdicts() {
  awk 'FILENAME == ARGV[1] { sum[$2] = $1; next }
    { at = substr($0, index($0, " ") + 1); file = at; sub(/:.*/, "", file); if (sum[file] == $1) print at }' \
    "$kept/files" "$@" | sort -u
}

score_mutants() {
  local all left
  # Nothing but the list of proofs takes mutants away.
  sed '/^exclude_re = \[/,/^\]/d' .cargo/mutants.toml >"$kept/all.toml"
  all=$(cargo mutants --list --config "$kept/all.toml" | wc -l)
  cargo mutants --list | sort >"$kept/judged"
  left=$(verdicts "$kept"/*.{caught,timeout,unviable} | comm -23 "$kept/judged" -)
  printf '%5d  %s\n' \
    "$all" "mutants in all" \
    "$(verdicts "$kept"/*.unviable | wc -l)" "do not compile" \
    "$((all - $(wc -l <"$kept/judged")))" "proven equivalent (.cargo/mutants.toml)" \
    "$(verdicts "$kept/core.caught" | wc -l)" "caught by core's own tests" \
    "$(verdicts "$kept/sim.caught" | wc -l)" "caught by scenarios, regression plans and seeds" \
    "$(verdicts "$kept"/*.timeout | wc -l)" "never end, which is noticed too" \
    "$(grep -c . <<<"$left")" "survive or were not tried"
  [[ -z $left ]] || fail "write a test, or a proof into .cargo/mutants.toml:"$'\n'"$left"
}
