# shellcheck shell=bash
# What others build on: the .proto files keep what they promise, and the crates that are published can be.
# Sourced by ./x.

BUF_VERSION=1.75.0
PUBLISHED=(outrigger-proto outrigger-client)

# Its compiler of .proto files reads this contract in two seconds. It comes with npm, which nothing else here needs: CI
# installs that, and whoever has none may leave the check to CI.
setup_buf() {
  local place=$CACHE/buf-$BUF_VERSION fresh
  export PATH="$place/node_modules/.bin:$PATH"
  [[ ! -d $place ]] || return 0
  if [[ -n ${CI:-} ]]; then
    provide contract_needs
  elif ! command -v npm >/dev/null; then
    left_out "npm is missing: the contract is not checked with buf (Debian: npm)"
    return 0
  fi
  say "fetching buf (93 MB) with npm"
  mkdir -p "$CACHE"
  fresh=$(mktemp -d "$CACHE/buf.XXXXXX")
  if ! npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$fresh" "@bufbuild/buf@$BUF_VERSION" >&2; then
    rm -rf "$fresh"
    fail "npm could not fetch buf $BUF_VERSION"
  fi
  chmod 755 "$fresh"
  mv "$fresh" "$place"
}

contract_parts() {
  if command -v buf >/dev/null; then
    part "contract: style of the .proto files" buf lint proto
    part "contract: nothing is broken that was promised" contract_keeps
  else
    left_out "not checked: buf is missing"
  fi
  part "crates: pages of documentation" crate_pages
  part "crates: what is published is complete" crate_packages
}

# What the last release has is kept. Before the first one that is what proto/unreleased.txtpb says: a change that breaks
# it on purpose makes the file anew (`./x contract`), so that it is seen in review.
contract_keeps() {
  local tag before
  tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || tag=
  if [[ -z $tag ]]; then
    buf breaking proto --against proto/unreleased.txtpb
    return
  fi
  before=$(mktemp -d) || return
  git archive "$tag" proto/proto | tar -x -C "$before" &&
    buf breaking proto --against "$before/proto/proto"
  local kept=$?
  rm -rf "$before"
  return "$kept"
}

accept_contract() {
  setup_buf
  buf build proto --exclude-source-info --output proto/unreleased.txtpb
}

# Every link in them leads somewhere. In release the lints have already looked at what it needs.
crate_pages() {
  RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --quiet --no-deps "${PUBLISHED[@]/#/--package=}"
}

# Builds each crate from its package alone, the client against the package of the protocol: `cargo publish` does the same
# before it uploads. Of a release the tree is clean; here it need not be.
crate_packages() {
  # Cargo unpacks and builds a package once for each version, and until a release this one changes under its version.
  rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/outrigger-proto-* \
    "$CARGO_TARGET_DIR"/debug/.fingerprint/outrigger-proto-*
  cargo package --locked --quiet --allow-dirty "${PUBLISHED[@]/#/--package=}"
}
