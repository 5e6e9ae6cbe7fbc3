# shellcheck shell=bash
# How what a command needs gets here: apt on Debian and Ubuntu, advice elsewhere.
# Sourced by ./x, with scripts/needs.sh; quick when nothing is missing.

CARGO_DENY_VERSION=0.20.2
CARGO_MUTANTS_VERSION=27.1.0

setup_rust() {
  local fault
  fault=$(rust_fault "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)")
  [[ -z $fault ]] || fail "$fault"
  provide linker_needs
}

setup_lints() {
  setup_rust
  { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 ||
    fail "rustfmt or clippy is missing: rustup component add rustfmt clippy"
}

setup_build() {
  setup_rust
  provide build_needs
  build_room
}

setup_kafka() {
  provide kafka_needs
  kafka_jars
}

# Network namespaces are Linux's. Without root there are none either: then no leader is isolated, and the run says so, or
# fails in CI.
setup_network() {
  [[ $(uname) != Linux ]] || provide network_needs
}

# The copy is made beside its place and moved: complete or absent, never half.
kafka_jars() {
  local lib=$OUTRIGGER_KAFKA_LIB fresh
  [[ ! -d $lib ]] || return 0
  say "fetching the jars of Kafka $KAFKA_VERSION (54 MB) with Maven"
  mkdir -p "$(dirname "$lib")"
  fresh=$(mktemp -d "$lib.XXXXXX")
  if ! jars_of tests/kafka/pom.xml "$fresh"; then
    rm -rf "$fresh"
    fail "Maven could not fetch the jars of Kafka; with jars from elsewhere, set OUTRIGGER_KAFKA_LIB"
  fi
  chmod 755 "$fresh"
  mv "$fresh" "$lib"
}

# What the bench measures restores against: our small programs, compiled beside the jars that they run.
setup_contenders() {
  provide contenders_needs
  local lib=$OUTRIGGER_CONTENDERS_LIB fresh
  [[ ! -d $lib ]] || return 0
  say "fetching Kafka Streams and KCache (98 MB) with Maven"
  mkdir -p "$(dirname "$lib")"
  fresh=$(mktemp -d "$lib.XXXXXX")
  if ! { jars_of tests/contenders/pom.xml "$fresh" &&
    "$(java_program javac)" --release 17 -cp "$fresh/*" -d "$fresh" tests/contenders/*.java; }; then
    rm -rf "$fresh"
    fail "the contenders that the bench measures against could not be fetched or compiled"
  fi
  chmod 755 "$fresh"
  mv "$fresh" "$lib"
}

# jars_of <pom> <directory>
jars_of() {
  mvn --quiet --batch-mode --file "$1" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$2"
}

# What captures the changes of a PostgreSQL, and a PostgreSQL.
setup_cdc() {
  provide cdc_needs
  setup_postgres
  local fresh
  [[ ! -d $CDC_LIB ]] || return 0
  say "fetching Debezium (40 MB) with Maven"
  fresh=$(mktemp -d "$CDC_LIB.XXXXXX")
  if ! { jars_of examples/cdc/pom.xml "$fresh" &&
    "$(java_program javac)" --release 17 -cp "$fresh/*" -d "$fresh" examples/cdc/*.java; }; then
    rm -rf "$fresh"
    fail "the capture of examples/cdc could not be fetched or compiled"
  fi
  chmod 755 "$fresh"
  mv "$fresh" "$CDC_LIB"
}

# The newest PostgreSQL of this machine, or Debian's with what it needs. Unpacked and not installed: the package starts a
# service.
setup_postgres() {
  local found package
  found=$(dirname "$(command -v postgres || newest_of /usr/lib/postgresql/*/bin/postgres)")
  [[ -x $found/initdb ]] || found=$(dirname "$(newest_of "$CACHE"/postgres/usr/lib/postgresql/*/bin/postgres)")
  if [[ ! -x $found/initdb ]]; then
    package=$(apt-cache depends postgresql 2>/dev/null | grep -o 'postgresql-[0-9]*' | head -n 1) || true
    [[ -n $package ]] || fail "PostgreSQL is missing: install it, with its programs on PATH"
    unpack_whole postgres "$package" || fail "PostgreSQL could not be fetched: install it"
    found=$(dirname "$(newest_of "$CACHE"/postgres/usr/lib/postgresql/*/bin/postgres)")
  fi
  export POSTGRES_BIN=$found
  [[ $found != "$CACHE"/* ]] || export LD_LIBRARY_PATH="$CACHE/postgres/usr/lib/$(uname -m)-linux-gnu"
}

# newest_of <path...>: the last one by version that there is.
newest_of() {
  local path
  for path in "$@"; do [[ ! -x $path ]] || echo "$path"; done | sort -V | tail -n 1
}

# What the bench measures calls against, where it can be had. Unpacked and not installed: Debian's package starts a service.
setup_etcd() {
  export PATH="$CACHE/etcd/usr/bin:$PATH"
  command -v etcd >/dev/null || unpack etcd etcd-server || say "etcd is missing: no figures of it (Debian: etcd-server)"
}

# What judges and plays the alerts. Debian's package starts a service, too.
setup_promtool() {
  export PATH="$CACHE/prometheus/usr/bin:$PATH"
  command -v promtool >/dev/null || unpack prometheus prometheus ||
    left_out "promtool is missing: alerts and dashboard are not checked with it (Debian: prometheus)"
}

# unpack <directory of the cache> <Debian package>
unpack() {
  local fresh
  { command -v apt-get && command -v dpkg-deb; } >/dev/null || return
  mkdir -p "$CACHE"
  fresh=$(mktemp -d "$CACHE/$1.XXXXXX")
  if (cd "$fresh" && apt-get download -qq -o APT::Sandbox::User=root "$2" &&
    dpkg-deb --extract "$2"_*.deb . && rm "$2"_*.deb) >&2; then
    rm -rf "${CACHE:?}/$1"
    chmod 755 "$fresh"
    mv "$fresh" "$CACHE/$1"
  else
    rm -rf "$fresh"
    return 1
  fi
}

# unpack_whole <directory of the cache> <Debian package>: with all that it needs and this machine has not.
unpack_whole() {
  local fresh package
  command -v dpkg-deb >/dev/null || return
  mkdir -p "$CACHE"
  fresh=$(mktemp -d "$CACHE/$1.XXXXXX")
  mkdir -p "$fresh/archives/partial"
  if as_root apt-get install -qq --download-only --no-install-recommends \
    -o APT::Sandbox::User=root -o Dir::Cache::archives="$fresh/archives" "$2" >&2; then
    for package in "$fresh"/archives/*.deb; do dpkg-deb --extract "$package" "$fresh"; done
    rm -rf "$fresh/archives" "${CACHE:?}/$1"
    chmod 755 "$fresh"
    mv "$fresh" "$CACHE/$1"
  else
    rm -rf "$fresh"
    return 1
  fi
}

setup_deny() {
  cargo_tool deny "$CARGO_DENY_VERSION"
}

setup_mutants() {
  cargo_tool mutants "$CARGO_MUTANTS_VERSION"
}

# cargo_tool <name> <version>, unoptimised: it takes a minute to build and computes little itself.
cargo_tool() {
  export PATH="$CACHE/tools/bin:$PATH"
  [[ $(cargo "$1" --version 2>/dev/null) != "cargo-$1 $2" ]] || return 0
  say "building cargo-$1, one to two minutes"
  CARGO_TARGET_DIR="$CACHE/tools/target" cargo install --quiet --locked --debug \
    --root "$CACHE/tools" --version "$2" "cargo-$1"
  rm -rf "$CACHE/tools/target"
}

# The newest headless runtime that this release of Debian or Ubuntu has.
java_package() {
  local version
  for version in 21 17; do
    if apt-cache policy "openjdk-$version-jre-headless" | grep -q 'Candidate: [0-9]'; then
      echo "openjdk-$version-jre-headless"
      return
    fi
  done
  echo default-jre-headless
}

# provide <needs>: installs what the needs find missing, or says what it is and ends.
provide() {
  "$1"
  [[ ${#MISSING[@]} -gt 0 ]] || return 0
  if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
    install_packages || true # what is missing after it is said below
    MISSING=() PACKAGES=()
    "$1"
    [[ ${#MISSING[@]} -gt 0 ]] || return 0
  fi
  printf 'x: this is missing, please install it and run this again:\n' >&2
  printf '  %s\n' "${MISSING[@]}" >&2
  exit 1
}

install_packages() {
  as_root apt-get update -qq
  local packages=("${PACKAGES[@]/#java/$(java_package)}")
  say "installing ${packages[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

# Asks for a password only where somebody can type one.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif [[ -t 0 ]]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}
